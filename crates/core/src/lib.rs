//! opsweek's library: plans and the loop over them, the services of a data platform, and the
//! procedures built from both.
//!
//! | module | what it is |
//! |---|---|
//! | [`engine`] | plans, the loop over them, journal, confirmation, lint, rendering; knows nothing of the platform |
//! | [`services`] | what each system can tell and can change; knows nothing of plans |
//! | [`actions`] | the primitive changes that plans are made of, and the safety rules that hold for all |
//! | [`fold`] | many names as one short set |
//! | [`procedures`] | look, report and plan: `offboard`, `newwiki` |
//!
//! The library does not print, reads no environment variable and no home folder: every client
//! is told its identity and its endpoints.
//!
//! # Example
//!
//! Planning is pure: what a look found goes in, a plan comes out. With nothing found there is
//! nothing to do.
//!
//! ```
//! use opsweek_core::actions::guard::UserName;
//! use opsweek_core::procedures::offboard::inventory::{Account, HdfsFindings, Inventory};
//! use opsweek_core::procedures::offboard::policy::Policy;
//! use opsweek_core::procedures::offboard::scope::Scope;
//! use opsweek_core::procedures::offboard::{Intent, Offboard, Request};
//! use opsweek_core::procedures::{Heading, Procedure};
//!
//! let elvis = UserName::try_from("elvis".to_owned())?;
//! let request = Request { intent: Intent::Archive, ..Request::look(elvis.clone()) };
//! let procedure = Offboard::new(request, Policy::default(), None).map_err(|no| no.what)?;
//! let found = Inventory {
//!     user: elvis,
//!     now: 1_700_000_000,
//!     account: Account::Absent,
//!     applications: Vec::new(),
//!     places: Scope::all(),
//!     hdfs: Some(HdfsFindings { archive_folder: true, ..HdfsFindings::default() }),
//!     hive: None,
//!     hosts: Default::default(),
//!     gaps: Vec::new(),
//!     world: Default::default(),
//!     restore: None,
//! };
//! assert!(!procedure.report(&found).leftovers);
//! let heading = Heading { version: "1".into(), now: 1_700_000_000, task: None, reason: None };
//! let plan = procedure.plan(&found, &heading).map_err(|no| format!("{no:?}"))?;
//! assert!(plan.steps.is_empty());
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

pub mod actions;
pub mod engine;
pub mod fold;
pub mod procedures;
pub mod services;
