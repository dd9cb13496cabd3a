//! Permission to apply a plan. The only way to get it is to ask.

use super::plan::Plan;

/// What is asked before a plan is applied.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Question<'a> {
    /// What the plan is about; typed to confirm.
    pub subject: &'a str,
    /// The plan in one line.
    pub title: &'a str,
    /// Whether some of them cannot be undone.
    pub irreversible: bool,
    /// The plan's hash, by which a reviewed file is recognised.
    pub hash: &'a str,
}

/// Whoever can be asked: a person at a terminal, or a plan file that was reviewed.
pub trait Ask {
    /// Says yes, or why not.
    fn ask(&self, question: &Question<'_>) -> Result<(), Declined>;
}

/// Why a plan was not approved.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Declined {
    /// Somebody said no.
    #[error("declined: nothing was changed")]
    No,
    /// There is nobody to ask.
    #[error("nobody to ask: there is no terminal")]
    Nobody,
    /// The plan cannot be asked about.
    #[error("the plan cannot be hashed")]
    Unhashable,
}

/// A plan that was approved.
#[derive(Debug)]
pub struct Approved<'p, A> {
    plan: &'p Plan<A>,
}

impl<'p, A: serde::Serialize> Approved<'p, A> {
    /// Asks `who` about the plan.
    pub fn ask(plan: &'p Plan<A>, who: &dyn Ask) -> Result<Self, Declined> {
        let hash = plan.hash().map_err(|_| Declined::Unhashable)?;
        who.ask(&Question {
            subject: &plan.subject,
            title: &plan.title,
            irreversible: plan.is_irreversible(),
            hash: &hash,
        })?;
        Ok(Self { plan })
    }

    /// The plan.
    pub fn plan(&self) -> &'p Plan<A> {
        self.plan
    }
}
