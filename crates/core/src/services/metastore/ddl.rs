//! A table's definition as the statement that would make it, for people to read. Exact
//! restores are made of the thrift form, never of this.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use super::gen_hive as wire;

/// An identifier in Hive's back quotes. Source: Hive language manual, "Identifiers".
fn identifier(name: &str) -> String {
    format!("`{}`", name.replace('`', "``"))
}

/// A string literal of `HiveQL`.
fn literal(text: &str) -> String {
    format!("'{}'", text.replace('\\', "\\\\").replace('\'', "\\'"))
}

fn columns(fields: &[wire::FieldSchema]) -> String {
    let column = |field: &wire::FieldSchema| {
        let name = identifier(field.name.as_deref().unwrap_or_default());
        let kind = field.type_.as_deref().unwrap_or("string");
        match field.comment.as_deref() {
            Some(comment) if !comment.is_empty() => {
                format!("  {name} {kind} COMMENT {}", literal(comment))
            }
            _ => format!("  {name} {kind}"),
        }
    };
    fields.iter().map(column).collect::<Vec<_>>().join(",\n")
}

fn properties(parameters: &BTreeMap<String, String>) -> String {
    let pair = |(key, value): (&String, &String)| format!("  {}={}", literal(key), literal(value));
    parameters.iter().map(pair).collect::<Vec<_>>().join(",\n")
}

/// The statement for `table`.
pub(super) fn create(table: &wire::Table) -> String {
    let name = format!(
        "{}.{}",
        identifier(table.db_name.as_deref().unwrap_or_default()),
        identifier(table.table_name.as_deref().unwrap_or_default())
    );
    let kind = table.table_type.as_deref().unwrap_or_default();
    if kind == "VIRTUAL_VIEW" {
        let text = table.view_original_text.as_deref().unwrap_or_default();
        return format!("CREATE VIEW {name} AS\n{text}");
    }
    let external = if kind == "EXTERNAL_TABLE" {
        "EXTERNAL "
    } else {
        ""
    };
    let mut ddl = format!("CREATE {external}TABLE {name}");
    let sd = table.sd.clone().unwrap_or_default();
    // Writing to a String cannot fail.
    let mut add = |part: String| {
        let _ = write!(ddl, "{part}");
    };
    let fields = sd.cols.unwrap_or_default();
    if !fields.is_empty() {
        add(format!(" (\n{}\n)", columns(&fields)));
    }
    let keys = table.partition_keys.clone().unwrap_or_default();
    if !keys.is_empty() {
        add(format!("\nPARTITIONED BY (\n{}\n)", columns(&keys)));
    }
    let serde = sd.serde_info.unwrap_or_default();
    let some = |text: Option<String>| text.filter(|text| !text.is_empty());
    if let Some(library) = some(serde.serialization_lib) {
        add(format!("\nROW FORMAT SERDE {}", literal(&library)));
        let parameters = serde.parameters.unwrap_or_default();
        if !parameters.is_empty() {
            add(format!(
                "\nWITH SERDEPROPERTIES (\n{}\n)",
                properties(&parameters)
            ));
        }
    }
    if let (Some(input), Some(output)) = (some(sd.input_format), some(sd.output_format)) {
        let (input, output) = (literal(&input), literal(&output));
        add(format!(
            "\nSTORED AS INPUTFORMAT {input} OUTPUTFORMAT {output}"
        ));
    }
    if let Some(location) = some(sd.location) {
        add(format!("\nLOCATION {}", literal(&location)));
    }
    let parameters = table.parameters.clone().unwrap_or_default();
    if !parameters.is_empty() {
        add(format!("\nTBLPROPERTIES (\n{}\n)", properties(&parameters)));
    }
    ddl
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_external_table() {
        let field = |name: &str, kind: &str| wire::FieldSchema {
            name: Some(name.into()),
            type_: Some(kind.into()),
            comment: None,
        };
        let table = wire::Table {
            db_name: Some("elvis".into()),
            table_name: Some("od`d".into()),
            table_type: Some("EXTERNAL_TABLE".into()),
            partition_keys: Some(vec![field("year", "int")]),
            parameters: Some(BTreeMap::from([("it's".into(), "a\\b".into())])),
            sd: Some(wire::StorageDescriptor {
                cols: Some(vec![field("a", "string")]),
                location: Some("hdfs://nn/user/elvis/t".into()),
                ..Default::default()
            }),
            ..Default::default()
        };
        insta::assert_snapshot!(create(&table), @r"
        CREATE EXTERNAL TABLE `elvis`.`od``d` (
          `a` string
        )
        PARTITIONED BY (
          `year` int
        )
        LOCATION 'hdfs://nn/user/elvis/t'
        TBLPROPERTIES (
          'it\'s'='a\\b'
        )
        ");
    }
}
