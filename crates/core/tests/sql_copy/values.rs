//! Values of every type, in random tables, come through unchanged.

use std::fmt::Write as _;

use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::TestRunner;

use super::copied;
use super::server::MariaDb;

/// A column's type, and literals of its extremes.
const TYPES: [(&str, &[&str]); 38] = [
    ("tinyint", &["-128", "127", "0"]),
    ("bigint", &["-9223372036854775808", "9223372036854775807"]),
    ("bigint unsigned", &["18446744073709551615", "0"]),
    ("int zerofill", &["7", "4294967295"]),
    (
        "decimal(65,30)",
        &[
            "-99999999999999999999999999999999999.999999999999999999999999999999",
            "0.000000000000000000000000000001",
        ],
    ),
    (
        "float",
        &[
            "16777217",
            "0.1",
            "3.4028234e38",
            "1.17549435e-38",
            "123456.789",
            "-0e0",
            "1e-45",
        ],
    ),
    ("float(7,4)", &["123.4567", "-999.9999"]),
    (
        "double",
        &[
            "0.1",
            "1.7976931348623157e308",
            "2.2250738585072014e-308",
            "5e-324",
            "-1.2345678901234567",
            "9007199254740993",
        ],
    ),
    ("double(20,3)", &["12345678901234.567", "-0.001"]),
    ("bit(1)", &["b'0'", "b'1'"]),
    (
        "bit(64)",
        &["b'1'", "0xffffffffffffffff", "0x5c090a0d00000000"],
    ),
    (
        "date",
        &[
            "'0000-00-00'",
            "'9999-12-31'",
            "'2024-00-00'",
            "'2024-02-31'",
        ],
    ),
    (
        "datetime(6)",
        &[
            "'0000-00-00'",
            "'9999-12-31 23:59:59.999999'",
            "'2024-03-31 02:30:00.000001'",
        ],
    ),
    (
        "timestamp(3) NULL",
        &[
            "'0000-00-00'",
            "'1970-01-02 00:00:01'",
            "'2037-12-31 23:59:59.999'",
            "'2024-10-27 00:30:00'",
        ],
    ),
    (
        "time(6)",
        &["'-838:59:59.999999'", "'838:59:59'", "'-00:00:00.000001'"],
    ),
    ("year", &["0", "1901", "2155"]),
    ("char(10)", &["'ab '", "''", "'größe😀'"]),
    (
        "varchar(200)",
        &[
            "'\\t\\n\\\\N\\r\\0'",
            "'\\\\N'",
            "'NULL'",
            "'a '",
            "'日本 😀'",
        ],
    ),
    ("varchar(50) CHARACTER SET latin1", &["'größe'", "''"]),
    ("varchar(50) CHARACTER SET utf8mb3", &["'größe'", "'日本'"]),
    (
        "varchar(50) CHARACTER SET ucs2",
        &["'größe\\\\\\t'", "'਍ऊ'"],
    ),
    ("varchar(50) CHARACTER SET utf16", &["'😀\\\\'", "'ab'"]),
    ("varchar(50) CHARACTER SET utf32", &["'😀'", "'\\n'"]),
    ("varchar(50) CHARACTER SET sjis", &["'表示ソ'", "'\\\\'"]),
    ("varchar(50) CHARACTER SET gbk", &["'縗'", "'\\\\'"]),
    (
        "longtext CHARACTER SET utf8mb4 COLLATE utf8mb4_bin",
        &["REPEAT('x\\\\\\n', 100000)", "''"],
    ),
    ("json", &["'{\"a\": [1, \"\\\\\\\\n\"]}'", "'null'"]),
    (
        "binary(16)",
        &[
            "x'00000000000000000000000000000000'",
            "x'5c090a0d005c4e0000000000000000ff'",
        ],
    ),
    ("varbinary(50)", &["x'00'", "x'5c4e'", "''", "x'ff00'"]),
    ("longblob", &["REPEAT(x'005c0a09', 50000)", "''"]),
    (
        "enum('1','0','','a,b','größe')",
        &["'1'", "'0'", "''", "'a,b'", "'größe'", "0"],
    ),
    ("enum('x','y') CHARACTER SET ucs2", &["'x'", "'y'", "0"]),
    ("set('a','1','größe')", &["''", "'a,1'", "7"]),
    (
        "uuid",
        &[
            "'123e4567-e89b-12d3-a456-426655440000'",
            "'00000000-0000-0000-0000-000000000000'",
        ],
    ),
    (
        "inet6",
        &["'::'", "'2001:db8::ff00:42:8329'", "'::ffff:192.0.2.1'"],
    ),
    ("inet4", &["'0.0.0.0'", "'192.0.2.10'"]),
    (
        "geometry",
        &[
            "ST_GeomFromText('POINT(1 2)', 4326)",
            "ST_GeomFromText('POLYGON((0 0,9 10,13 0,0 0))')",
            "ST_GeomFromText('GEOMETRYCOLLECTION(POINT(1 1),LINESTRING(0 0,1 1))')",
        ],
    ),
    ("point", &["POINT(0.1, -9.5)"]),
];

/// Columns of a table, as places in [`TYPES`]; rows of values, as numbers that choose one of
/// a type's literals, or NULL, or bytes of their own.
type Plan = (Vec<usize>, Vec<Vec<(u8, Vec<u8>)>>);

fn plan() -> impl Strategy<Value = Plan> {
    prop::collection::vec(0..TYPES.len(), 1..12).prop_flat_map(|columns| {
        let value = (any::<u8>(), prop::collection::vec(any::<u8>(), 0..40));
        let row = prop::collection::vec(value, columns.len());
        (Just(columns), prop::collection::vec(row, 0..25))
    })
}

/// Every type and every one of its literals in one table.
fn all() -> Plan {
    let rows = (0..8).map(|row| vec![(row, Vec::new()); TYPES.len()]);
    ((0..TYPES.len()).collect(), rows.collect())
}

fn literal((kind, literals): (&str, &[&str]), (choice, bytes): &(u8, Vec<u8>)) -> String {
    let choice = usize::from(*choice);
    if choice < literals.len() {
        return literals[choice].to_owned();
    }
    let hex = bytes.iter().fold(String::from("0"), |mut text, byte| {
        write!(text, "{byte:02x}").unwrap();
        text
    });
    match kind {
        _ if choice % 5 == 0 => "NULL".to_owned(),
        "longblob" | "varbinary(50)" => format!("x'{}'", &hex[1..]),
        "bit(64)" => format!("0x0{hex:.15}"),
        "double" | "float" => format!("{}e{}", hex.len() * 7919, choice % 37),
        "varchar(50) CHARACTER SET latin1" => format!("CONVERT(x'{}' USING latin1)", &hex[1..]),
        _ => literals[choice % literals.len()].to_owned(),
    }
}

/// The statements that make a table in the database `prod`.
fn table(name: &str, (columns, rows): &Plan, key: bool) -> String {
    let mut text = format!(
        "CREATE TABLE prod.{name} (k int {}",
        if key { "PRIMARY KEY" } else { "" }
    );
    for (at, column) in columns.iter().enumerate() {
        write!(text, ", `c``{at}` {}", TYPES[*column].0).unwrap();
    }
    text.push_str(", v int GENERATED ALWAYS AS (k + 1) VIRTUAL, s varchar(9) AS (CONCAT('a', k)) STORED, i int INVISIBLE DEFAULT 3);\n");
    for (k, row) in rows.iter().enumerate() {
        let names: Vec<_> = (0..columns.len()).map(|at| format!("`c``{at}`")).collect();
        let values: Vec<_> = columns
            .iter()
            .zip(row)
            .map(|(column, value)| literal(TYPES[*column], value))
            .collect();
        writeln!(
            text,
            "INSERT INTO prod.{name} (k, {}) VALUES ({k}, {});",
            names.join(", "),
            values.join(", ")
        )
        .unwrap();
    }
    text
}

/// The server's own comparison, column by column: how many values differ.
fn differing(name: &str, (columns, _): &Plan) -> String {
    let compared = columns.iter().enumerate().map(|(at, column)| {
        let (a, b) = (format!("a.`c``{at}`"), format!("b.`c``{at}`"));
        match TYPES[*column].0 {
            "geometry" | "point" => {
                format!("(HEX(ST_AsWKB({a})), ST_SRID({a})) <=> (HEX(ST_AsWKB({b})), ST_SRID({b}))")
            }
            kind if kind.starts_with("enum") || kind.starts_with("set") => {
                format!("{a} + 0 <=> {b} + 0")
            }
            "float" => format!("CAST({a} AS DOUBLE) <=> CAST({b} AS DOUBLE)"),
            _ => format!("{a} <=> {b} AND HEX(CAST({a} AS BINARY)) <=> HEX(CAST({b} AS BINARY))"),
        }
    });
    let sums: Vec<_> = compared
        .chain(["(a.v, a.s, a.i) <=> (b.v, b.s, b.i)".to_owned()])
        .map(|same| format!("COALESCE(SUM(NOT ({same})), 0)"))
        .collect();
    format!(
        "SELECT {} + (SELECT COUNT(*) FROM prod.{name}) - COUNT(*) + \
         (SELECT COUNT(*) FROM copy.{name}) - COUNT(*) FROM prod.{name} a JOIN copy.{name} b USING (k)",
        sums.join(" + ")
    )
}

async fn survives(options: &[&str], method: &str) {
    let mariadb = MariaDb::start(options);
    let mut runner = TestRunner::default();
    for _ in 0..3 {
        let mut plans = vec![all()];
        for _ in 0..8 {
            plans.push(plan().new_tree(&mut runner).unwrap().current());
        }
        let mut text = String::from(
            "DROP DATABASE IF EXISTS prod; CREATE DATABASE prod CHARACTER SET utf8mb4; \
             SET sql_mode = 'ALLOW_INVALID_DATES', time_zone = '+00:00';\n",
        );
        for (at, plan) in plans.iter().enumerate() {
            text.push_str(&table(&format!("t{at}"), plan, at % 3 > 0));
        }
        mariadb.sql(&text);
        let done = copied(&mariadb.root(), "prod", "copy").await.unwrap();
        assert_eq!(format!("{:?}", done.method), method);
        for (at, plan) in plans.iter().enumerate() {
            let differing = mariadb.sql(&differing(&format!("t{at}"), plan));
            assert_eq!(
                differing.trim().trim_end_matches(['0', '.']),
                "",
                "{plan:?}"
            );
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn loaded_values_are_the_same() {
    survives(&[], "Load").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn inserted_values_are_the_same() {
    survives(&["--local-infile=OFF"], "Insert").await;
}
