//! Asks a metastore for every table by itself, as a client without a filter by owner has to:
//! the other side of the bench `owner_scan`. Argument: `thrift://HOST:PORT`.

use std::time::Duration;

use opsweek_core::services::metastore::{Config, Error, Metastore};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let uri = std::env::args().nth(1).ok_or("thrift://HOST:PORT")?;
    let metastore = Metastore::new(Config {
        uris: vec![uri],
        user: "hdfs".to_owned(),
        deadline: Duration::from_mins(1),
        concurrency: 1,
        backing: None,
    });
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()?;
    Ok(runtime.block_on(ask(&metastore))?)
}

async fn ask(metastore: &Metastore) -> Result<(), Error> {
    for database in metastore.databases().await? {
        for table in metastore.table_names(&database).await? {
            metastore.table(&database, &table).await?;
        }
    }
    Ok(())
}
