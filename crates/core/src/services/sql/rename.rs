//! Databases that change places, by one RENAME TABLE of all that is in them.

use std::time::Duration;

use tokio_util::sync::CancellationToken;

use super::schema::{names, qualified};
use super::{Connection, Error};

/// "Lock wait timeout exceeded". Source: `MariaDB`, "`MariaDB` Error Code Reference".
const LOCK_WAIT_TIMEOUT: u16 = 1205;

/// All tables and sequences of one database become another's, which must have none of their
/// names then.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Move {
    /// The database that is emptied.
    pub from: String,
    /// The database that gets them; it must exist.
    pub to: String,
}

/// How long a rename is tried: it waits for open transactions 2 s at a time, as all who come
/// after it wait with it, and lets them pass between.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Patience {
    /// How often.
    pub tries: u32,
    /// How long between.
    pub pause: Duration,
}

/// The moves that cut over: `staging` becomes `previous`, `new` becomes `staging`.
pub fn cut_over(staging: &str, new: &str, previous: &str) -> [Move; 2] {
    [(staging, previous), (new, staging)].map(|(from, to)| Move {
        from: from.to_owned(),
        to: to.to_owned(),
    })
}

/// The moves back: `staging` becomes `new`, `previous` becomes `staging`.
pub fn swap_back(staging: &str, new: &str, previous: &str) -> [Move; 2] {
    [(staging, new), (previous, staging)].map(|(from, to)| Move {
        from: from.to_owned(),
        to: to.to_owned(),
    })
}

/// Makes all moves at once, in their order: nobody sees a part of them. Foreign keys follow.
/// Gives the number of tables and sequences that were moved.
///
/// # Errors
/// [`Error::Refused`] with code 1205 when a table is in use throughout `patience`;
/// [`Error::Lost`] or [`Error::Deadline`] leave open whether it was done: look.
pub async fn rename(
    connection: &mut Connection,
    moves: &[Move],
    patience: Patience,
    cancel: &CancellationToken,
) -> Result<u64, Error> {
    let whole: Vec<_> = moves
        .iter()
        .map(|Move { from, to }| format!("{from} to {to}"))
        .collect();
    let about = format!("renaming {}", whole.join(", "));
    let mut pairs = Vec::new();
    for Move { from, to } in moves {
        for (name, _) in names(connection, from).await? {
            pairs.push(format!(
                "{} TO {}",
                qualified(from, &name),
                qualified(to, &name)
            ));
        }
    }
    if pairs.is_empty() {
        return Ok(0);
    }
    let session = "SET SESSION lock_wait_timeout = 2, foreign_key_checks = 0";
    connection.execute(&about, session, ()).await?;
    let statement = format!("RENAME TABLE {}", pairs.join(", "));
    let mut left = patience.tries;
    loop {
        if cancel.is_cancelled() {
            return Err(Error::Cancelled { what: about });
        }
        left = left.saturating_sub(1);
        match connection.execute(&about, &statement, ()).await {
            Err(error) if error.code() == Some(LOCK_WAIT_TIMEOUT) && left > 0 => {
                tokio::select! {
                    () = tokio::time::sleep(patience.pause) => {}
                    () = cancel.cancelled() => {}
                }
            }
            Err(error) => return Err(error),
            Ok(_) => return Ok(pairs.len() as u64),
        }
    }
}
