//! The steps on hosts.

use super::{COLLECT, Planner, REMOVE};
use crate::actions::host::places::Places;
use crate::actions::host::{self, Content};
use crate::engine::{Gap, Risk};
use crate::procedures::offboard::Homes;

impl Planner<'_> {
    /// Why a host's homes are not touched although they should be.
    pub(super) fn spared(&self, places: &Places) -> Option<String> {
        if let Some(mount) = places.mounts.first() {
            return Some(format!(
                "{mount} is a mount point in a home; unmount it first"
            ));
        }
        if let Some((tomb, _)) = places.tombs.first() {
            return Some(format!(
                "the removal of {tomb} was cut short; finish it with that run's plan"
            ));
        }
        // A folder of homes may be a link to another.
        let (guard, user) = (self.policy.guard(), &self.found.user);
        let allowed = |path: &&str| guard.host_path(path, user).is_ok();
        if let Some(path) = places.kept.paths().into_iter().find(|path| !allowed(path)) {
            return Some(format!(
                "{path} is in none of offboard.host_homes; add its folder, if that is meant"
            ));
        }
        let home = places.kept.foreign(&self.found.user, self.policy.min_uid)?;
        Some(format!(
            "{} belongs to {} ({}); find out why, then chown it",
            home.path, home.owner, home.uid
        ))
    }

    /// Whether a host's homes are to be collected and removed.
    pub(super) fn collects(&self, host: &str) -> bool {
        self.request.host_homes != Homes::Keep
            && self
                .found
                .hosts
                .get(host)
                .is_some_and(|places| !places.kept.is_empty() && self.spared(places).is_none())
    }

    pub(super) fn host(&mut self, host: &str) {
        let Some(places) = self.found.hosts.get(host) else {
            return;
        };
        let user = &self.found.user;
        if self.request.host_homes != Homes::Keep
            && let Some(why) = self.spared(places)
        {
            self.gaps.push(Gap {
                place: host.to_owned(),
                why: format!("refused: {why}"),
                lane: Some(host.to_owned()),
            });
        }
        if let (true, Some(uid)) = (self.request.stop_processes, places.owner())
            && (places.linger || !places.processes.is_empty())
        {
            let action = host::Action::Stop {
                host: host.to_owned(),
                user: user.clone(),
                uid,
                processes: places.processes.len(),
            };
            self.steps.add(
                (COLLECT, host),
                Risk::Costly,
                format!("stop-{host}"),
                "nothing writes to the home any more",
                action,
            );
        } else if !places.processes.is_empty() {
            self.notes.push(format!(
                "{host}: {} processes stay; --stop-processes ends them",
                places.processes.len()
            ));
        }
        for path in &places.by_hand {
            self.notes.push(format!(
                "{host}: {path} stays: a folder among archived homes was made by hand"
            ));
        }
        if !self.collects(host) {
            if self.request.host_homes == Homes::Keep && !places.kept.is_empty() {
                self.notes.push(format!(
                    "{host}: {} stays, as asked",
                    places.kept.paths().join(", ")
                ));
            }
            return;
        }
        let content = match self.request.host_homes {
            Homes::Delete => Content::Listing,
            _ => Content::Tarball,
        };
        let name = self.numbered(host, "");
        let proof = self.artefact(&format!("hosts/{name}.json")).settled;
        let action = host::Action::Collect {
            host: host.to_owned(),
            user: user.clone(),
            content,
            was: places.kept.clone(),
            leave_out: self.policy.never_archive.clone(),
            folder: self.artefact("hosts").settled,
            name,
        };
        let why = match content {
            Content::Tarball => "kept in the archive",
            Content::Listing => "what was removed can be looked up",
        };
        self.steps.add(
            (COLLECT, host),
            Risk::Costly,
            format!("collect-{host}"),
            why,
            action,
        );
        let action = host::Action::Remove {
            host: host.to_owned(),
            user: user.clone(),
            was: places.kept.clone(),
            proof,
        };
        self.steps.add(
            (REMOVE, host),
            Risk::Irreversible,
            format!("remove-{host}"),
            "hosts have no trash",
            action,
        );
        if !places.secrets.is_empty() {
            self.notes.push(format!(
                "{host}: never archived, removed with the home: {}",
                places.secrets.join(", ")
            ));
        }
    }
}
