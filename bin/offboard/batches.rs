//! How fast hosts are to be gone over.

use clap::value_parser;
use opsweek_core::procedures::offboard::Batches;

#[derive(clap::Args)]
pub(crate) struct Batching {
    /// Go over hosts so many at a time
    #[arg(long, value_name = "N", requires = "work", value_parser = value_parser!(u32).range(1..))]
    batch: Option<u32>,
    /// Seconds between one batch of hosts and the next
    #[arg(long, value_name = "SECONDS", requires = "batch", value_parser = value_parser!(u32).range(..=86_400))]
    sleep: Option<u32>,
    /// Begin no further batch once fewer hosts than this have succeeded [default: 100%]
    #[arg(long, value_name = "PERCENT", requires = "batch", value_parser = percent)]
    success: Option<u8>,
}

impl Batching {
    /// What is asked for.
    pub(crate) fn asked(&self) -> Option<Batches> {
        self.batch.map(|size| Batches {
            size,
            sleep: self.sleep.unwrap_or(0),
            success: self.success.unwrap_or(100),
        })
    }
}

fn percent(text: &str) -> Result<u8, &'static str> {
    let number = text.strip_suffix('%').unwrap_or(text);
    match number.parse() {
        Ok(percent @ 0..=100) => Ok(percent),
        _ => Err("a percentage is 0% to 100%"),
    }
}
