//! What the archive's manifest keeps of the metastore, read again.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use thrift::protocol::{TBinaryInputProtocol, TSerializable};
use thrift::transport::TBufferChannel;

use super::Error;
use super::gen_hive as wire;

/// A database as it was.
#[derive(Clone, Debug)]
pub struct DatabaseRecord(pub(super) wire::Database);

/// A table as it was.
#[derive(Clone, Debug)]
pub struct TableRecord(pub(super) wire::Table);

/// A partition as it was.
#[derive(Clone, Debug)]
pub struct PartitionRecord(pub(super) wire::Partition);

/// A function as it was.
#[derive(Clone, Debug)]
pub struct FunctionRecord(pub(super) wire::Function);

impl DatabaseRecord {
    /// Reads thrift's form in base64. [`Error::Damaged`] when it is none.
    pub fn decode(text: &str) -> Result<Self, Error> {
        decoded(text, "a database").map(Self)
    }

    /// Its name.
    pub fn name(&self) -> &str {
        self.0.name.as_deref().unwrap_or_default()
    }

    /// Its owner.
    pub fn owner(&self) -> &str {
        self.0.owner_name.as_deref().unwrap_or_default()
    }

    /// Its folder, a full URI.
    pub fn location(&self) -> &str {
        self.0.location_uri.as_deref().unwrap_or_default()
    }
}

impl TableRecord {
    /// Reads thrift's form in base64. [`Error::Damaged`] when it is none.
    pub fn decode(text: &str) -> Result<Self, Error> {
        decoded(text, "a table").map(Self)
    }

    /// Its database's name.
    pub fn database(&self) -> &str {
        self.0.db_name.as_deref().unwrap_or_default()
    }

    /// Its name.
    pub fn name(&self) -> &str {
        self.0.table_name.as_deref().unwrap_or_default()
    }

    /// Its owner.
    pub fn owner(&self) -> &str {
        self.0.owner.as_deref().unwrap_or_default()
    }

    /// Its folder, a full URI; views have none.
    pub fn location(&self) -> Option<&str> {
        let location = self.0.sd.as_ref().and_then(|sd| sd.location.as_deref());
        location.filter(|location| !location.is_empty())
    }
}

impl PartitionRecord {
    /// Reads thrift's form in base64. [`Error::Damaged`] when it is none.
    pub fn decode(text: &str) -> Result<Self, Error> {
        decoded(text, "a partition").map(Self)
    }

    /// Whether it belongs to the table.
    pub fn is_of(&self, table: &TableRecord) -> bool {
        self.0.db_name.as_deref() == Some(table.database())
            && self.0.table_name.as_deref() == Some(table.name())
    }
}

impl FunctionRecord {
    /// Reads thrift's form in base64. [`Error::Damaged`] when it is none.
    pub fn decode(text: &str) -> Result<Self, Error> {
        decoded(text, "a function").map(Self)
    }

    /// Its database's name.
    pub fn database(&self) -> &str {
        self.0.db_name.as_deref().unwrap_or_default()
    }

    /// Its name.
    pub fn name(&self) -> &str {
        self.0.function_name.as_deref().unwrap_or_default()
    }
}

/// A struct from thrift's binary protocol in base64. `what` it should be, for people.
fn decoded<T: TSerializable>(text: &str, what: &'static str) -> Result<T, Error> {
    let bytes = STANDARD.decode(text).map_err(|_| Error::Damaged { what })?;
    let mut channel = TBufferChannel::with_capacity(bytes.len(), 0);
    channel.set_readable_bytes(&bytes);
    let mut protocol = TBinaryInputProtocol::new(&mut channel, true);
    T::read_from_in_protocol(&mut protocol).map_err(|_| Error::Damaged { what })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::read::encoded;
    use super::*;

    fn table() -> wire::Table {
        wire::Table {
            db_name: Some("elvis".into()),
            table_name: Some("t".into()),
            table_type: Some("MANAGED_TABLE".into()),
            sd: Some(wire::StorageDescriptor {
                location: Some("hdfs://nn/user/elvis/t".into()),
                ..Default::default()
            }),
            ..Default::default()
        }
    }

    #[test]
    fn what_was_recorded_is_read_again() {
        let text = encoded(&table(), String::new).unwrap();
        let record = TableRecord::decode(&text).unwrap();
        assert_eq!(record.0, table());
        assert_eq!(record.location(), Some("hdfs://nn/user/elvis/t"));
    }

    proptest! {
        #[test]
        fn any_text_is_read_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
            let text = STANDARD.encode(&bytes);
            let _ = TableRecord::decode(&text);
            let _ = DatabaseRecord::decode(&text);
            let _ = PartitionRecord::decode(&text);
            let _ = FunctionRecord::decode(&text);
            let _ = TableRecord::decode(&String::from_utf8_lossy(&bytes));
        }

        #[test]
        fn a_record_cut_short_or_changed_is_read_or_refused(at in 0..200_usize, byte: u8) {
            let mut bytes = STANDARD.decode(encoded(&table(), String::new).unwrap()).unwrap();
            let at = at % bytes.len();
            bytes[at] = byte;
            let _ = TableRecord::decode(&STANDARD.encode(&bytes));
            assert!(TableRecord::decode(&STANDARD.encode(&bytes[..at])).is_err());
        }
    }
}
