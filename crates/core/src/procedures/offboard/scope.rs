//! Which of the platform's places a request is about. Keytabs live on launchers and root's ssh
//! key on another host, so no machine may reach them all.

use std::collections::BTreeSet;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::Intent;
use crate::actions::World;
use crate::procedures::Refusal;

/// A place that can be asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Place {
    /// The home in HDFS; and YARN, whose applications write there.
    Hdfs,
    /// The metastore.
    Hive,
    /// The hosts.
    Hosts,
}

/// Not the name of a place.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no place: hdfs, hive or hosts")]
pub struct NotAPlace(String);

impl Place {
    const ALL: [Self; 3] = [Self::Hdfs, Self::Hive, Self::Hosts];

    /// Its name, as it is asked for.
    pub fn name(self) -> &'static str {
        match self {
            Self::Hdfs => "hdfs",
            Self::Hive => "hive",
            Self::Hosts => "hosts",
        }
    }
}

impl FromStr for Place {
    type Err = NotAPlace;

    fn from_str(text: &str) -> Result<Self, NotAPlace> {
        let place = Self::ALL.into_iter().find(|place| place.name() == text);
        place.ok_or_else(|| NotAPlace(text.chars().take(40).collect()))
    }
}

/// A set of places.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Scope(BTreeSet<Place>);

impl FromIterator<Place> for Scope {
    fn from_iter<I: IntoIterator<Item = Place>>(places: I) -> Self {
        Self(places.into_iter().collect())
    }
}

impl Scope {
    /// All places.
    pub fn all() -> Self {
        Self::from_iter(Place::ALL)
    }

    /// All but those named; what is no place's name is passed over.
    pub fn without(names: &[String]) -> Self {
        let asked = |place: &Place| !names.iter().any(|name| name == place.name());
        Place::ALL.into_iter().filter(asked).collect()
    }

    /// Whether the place is in it.
    pub fn has(&self, place: Place) -> bool {
        self.0.contains(&place)
    }

    /// Whether every place of the other is in it.
    pub fn covers(&self, other: &Self) -> bool {
        self.0.is_superset(&other.0)
    }

    /// Takes in the places of another.
    pub fn add(&mut self, other: &Self) {
        self.0.extend(&other.0);
    }

    /// The names of its places.
    pub fn names(&self) -> Vec<String> {
        self.0.iter().map(|place| place.name().to_owned()).collect()
    }

    /// The names of the places that are not in it.
    pub fn unasked(&self) -> Vec<String> {
        let others = Place::ALL.into_iter().filter(|place| !self.has(*place));
        others.map(|place| place.name().to_owned()).collect()
    }

    /// Why nothing can be changed in just these places: a home in HDFS is not moved by somebody
    /// who does not see whose tables have files in it, and databases are moved with their folders.
    pub(super) fn fault(&self) -> Option<Refusal> {
        (self.has(Place::Hdfs) != self.has(Place::Hive)).then(|| Refusal {
            what: format!(
                "--places {} alone: nothing is moved in HDFS without the metastore, which knows \
                 whose tables are there, nor in the metastore without their files",
                self.names().join(",")
            ),
            hint:
                "--places hdfs,hive, where both are reached; then --places hosts, where hosts are"
                    .to_owned(),
        })
    }

    /// The world without what was not asked for, which so cannot be contacted; HDFS stays where a
    /// change needs it: archives, records and the lock are there. Refused where a place that was
    /// asked for is not configured, whether or not by name: what is never looked at would not be
    /// missed.
    pub fn within(&self, intent: Intent, world: World) -> Result<World, Refusal> {
        let configured = [
            (Place::Hdfs, world.hdfs.is_some(), "hdfs"),
            (Place::Hive, world.metastore.is_some(), "metastore"),
            (Place::Hosts, world.fleet.is_some(), "fleet"),
        ];
        for (place, is_there, section) in configured {
            if self.has(place) && !is_there {
                return Err(Refusal::new(
                    format!(
                        "{} is asked for, and cannot be reached from here",
                        place.name()
                    ),
                    format!(
                        "add a section [{section}] to the configuration, or say by --places what \
                         is meant without it"
                    ),
                ));
            }
        }
        let target = self.has(Place::Hdfs) || intent != Intent::Look;
        Ok(World {
            hdfs: world.hdfs.filter(|_| target),
            metastore: world.metastore.filter(|_| self.has(Place::Hive)),
            fleet: world.fleet.filter(|_| self.has(Place::Hosts)),
            yarn: world.yarn.filter(|_| self.has(Place::Hdfs)),
            ..world
        })
    }
}
