//! What Superset keeps in its metadata database: encrypted columns, Kerberos principals in
//! JSON, the tables that only mean something to the environment that wrote them.
//!
//! Source: Superset 6.1.0, `superset/models/core.py`, `superset/databases/ssh_tunnel/models.py`,
//! `superset/key_value/types.py`.

use std::borrow::Cow;

use percent_encoding::percent_decode_str;

mod json;
mod secrets;

pub use json::{JsonError, replace_string, string_at, strings};
pub use secrets::{Layout, SecretError, SecretKey};

/// The columns of encrypted values: table and column, both named as in the database. Their
/// rows have an integer key `id`.
pub const ENCRYPTED: [(&str, &str); 9] = [
    ("database_user_oauth2_tokens", "access_token"),
    ("database_user_oauth2_tokens", "refresh_token"),
    ("dbs", "encrypted_extra"),
    ("dbs", "password"),
    ("dbs", "server_cert"),
    ("ssh_tunnels", "password"),
    ("ssh_tunnels", "private_key"),
    ("ssh_tunnels", "private_key_password"),
    ("ssh_tunnels", "username"),
];

/// The encrypted column whose values are JSON: a wrong key shows there as well.
pub const ENCRYPTED_JSON: (&str, &str) = ("dbs", "encrypted_extra");

/// Where in `dbs.extra` the principal of a connection stands.
pub const EXTRA_PRINCIPAL: [&str; 3] = ["engine_params", "connect_args", "KerberosPrincipal"];

/// Where in `dbs.encrypted_extra`, once decrypted, the principal of a connection stands.
pub const ENCRYPTED_PRINCIPAL: [&str; 2] = ["auth_params", "principal"];

/// The tables of which a copy takes the definition only: what grows without bound, what
/// belongs to browser sessions and running tasks, and what grants access.
pub const SCHEMA_ONLY: [&str; 8] = [
    "cache_keys",
    "logs",
    "query",
    "report_execution_log",
    "tab_state",
    "table_schema",
    "task_subscribers",
    "tasks",
];

/// The tables of personal tokens: they are never to be used by another environment.
pub const TOKENS: [&str; 2] = ["ab_api_key", "database_user_oauth2_tokens"];

/// The resources of `key_value` that belong to one running environment. Permalinks and the
/// `app` entries (the salt of the permalinks' ids) are kept.
pub const PASSING_RESOURCES: [&str; 3] = ["lock", "pkce_code_verifier", "superset_metastore_cache"];

/// A URI without percent-encoding, to be looked into: in a query `@` is often written `%40`.
pub fn plain_uri(uri: &str) -> Cow<'_, str> {
    percent_decode_str(uri).decode_utf8_lossy()
}

/// Whether a text may hold a Kerberos principal: a name, an `@` and a realm in capitals, as
/// in `superset/superset.svc.eqiad.wmnet@WIKIMEDIA`. Used to point at URIs, not to change
/// them.
pub fn may_hold_principal(text: &str) -> bool {
    text.match_indices('@').any(|(at, _)| {
        let realm = &text[at + 1..];
        let end = realm
            .find(|c: char| !(c.is_ascii_uppercase() || matches!(c, '.' | '-' | '_')))
            .unwrap_or(realm.len());
        end >= 3 && !realm[end..].starts_with(|c: char| c.is_ascii_alphanumeric())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn principals_are_told_from_hosts() {
        for (text, may) in [
            ("presto://h/?principal=superset/h@WIKIMEDIA", true),
            ("presto://h/?principal=superset/h@WIKIMEDIA&x=1", true),
            (
                "presto://h/x?KerberosPrincipal=superset%2Fsuperset.svc.eqiad.wmnet%40WIKIMEDIA",
                true,
            ),
            (
                "mysql://research:XXX@dbstore1009.eqiad.wmnet:3350/enwiki",
                false,
            ),
            ("mysql://research:XXX@DBSTORE1009/enwiki", false),
            ("druid://h:8082/druid", false),
        ] {
            assert_eq!(may_hold_principal(&plain_uri(text)), may, "{text}");
        }
    }
}
