//! A lock of the server's, so that two runs do not meet.

use super::{Connection, Error, Server};

/// A named lock, held as long as its connection lives: whoever is killed lets go of it.
pub struct Lock {
    connection: Connection,
    name: String,
}

impl Lock {
    /// Takes the lock `name` (at most 64 characters) on `server`.
    ///
    /// # Errors
    /// [`Error::Locked`] when somebody has it.
    pub async fn take(server: &Server, name: &str) -> Result<Self, Error> {
        let mut connection = server.connect().await?;
        let about = format!("taking the lock {name}");
        // The connection lies idle for as long as the copy takes.
        let session = "SET SESSION wait_timeout = 604800";
        connection.execute(&about, session, ()).await?;
        let taken: Option<u64> = connection
            .row(&about, "SELECT GET_LOCK(?, 0)", (name,))
            .await?;
        if taken == Some(1) {
            let name = name.to_owned();
            return Ok(Self { connection, name });
        }
        let holder: Option<u64> = connection
            .row(&about, "SELECT IS_USED_LOCK(?)", (name,))
            .await?;
        let error = Error::Locked {
            server: server.name(),
            lock: name.to_owned(),
            holder: holder.unwrap_or_default(),
        };
        connection.close().await;
        Err(error)
    }

    /// Whether it is still held: the server may have ended the connection.
    pub async fn is_held(&mut self) -> Result<bool, Error> {
        self.connection
            .row(
                &format!("asking for the lock {}", self.name),
                "SELECT COALESCE(IS_USED_LOCK(?) = CONNECTION_ID(), 0)",
                (&self.name,),
            )
            .await
    }

    /// Lets go.
    pub async fn release(self) {
        self.connection.close().await;
    }
}
