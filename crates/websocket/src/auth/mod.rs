//! Who may connect: the token in the cookie, judged as the npm package `jsonwebtoken` judges it.

mod keys;
#[cfg(test)]
mod tests;

use std::borrow::Cow;
use std::time::{SystemTime, UNIX_EPOCH};

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use keys::{Algorithm, Key};
use percent_encoding::percent_decode_str;
use thiserror::Error;

use crate::config::{ConfigError, JwtConfig, Mode};
use crate::js::Value;

/// Why a token is refused; the words of the Node.js server where it has some.
#[derive(Debug, Error, PartialEq, Eq, Clone, Copy)]
pub(crate) enum Denied {
    #[error("JWT not present")]
    Absent,
    #[error("jwt malformed")]
    Malformed,
    #[error("invalid algorithm")]
    Algorithm,
    #[error("invalid signature")]
    Signature,
    #[error("invalid {0} value")]
    NotANumber(&'static str),
    #[error("jwt expired")]
    Expired,
    #[error("jwt not active")]
    NotActive,
    #[error("Channel ID not present in JWT")]
    NoChannel,
    #[error("JWT claim {0} is missing or wrong")]
    Claim(&'static str),
}

/// Whom a token was made for.
#[derive(Debug, PartialEq)]
pub(crate) struct Identity {
    /// The channel whose events the socket gets.
    pub(crate) channel: String,
    /// When the token ends, in seconds since 1970; `None` when the mode doesn't enforce it.
    pub(crate) expires: Option<f64>,
}

/// Judges tokens.
pub(crate) struct Verifier {
    algorithms: Vec<Algorithm>,
    keys: Vec<Key>,
    cookie: String,
    channel_claim: String,
    mode: Mode,
}

impl Verifier {
    /// Reads the keys; fails on an algorithm that doesn't exist or none that fits the secret.
    pub(crate) fn new(config: &JwtConfig, mode: Mode) -> Result<Self, ConfigError> {
        let algorithms = config
            .algorithms
            .iter()
            .map(|name| {
                Algorithm::parse(name).ok_or_else(|| ConfigError::Choice {
                    key: "jwtAlgorithms",
                    value: name.clone(),
                    choices: "HS, RS, ES or PS with 256, 384 or 512",
                })
            })
            .collect::<Result<Vec<_>, _>>()?;
        let secrets = [&config.secret, &config.previous_secret];
        let keys: Vec<_> = secrets
            .into_iter()
            .filter(|secret| !secret.is_empty())
            .map(|secret| Key::new(secret.expose()))
            .collect();
        if !algorithms
            .iter()
            .any(|algorithm| keys.iter().any(|key| key.fits(*algorithm)))
        {
            return Err(ConfigError::Conflict(
                "jwtSecret fits none of jwtAlgorithms: HS need a shared secret, RS, ES and PS a public key as PEM",
            ));
        }
        Ok(Self {
            algorithms,
            keys,
            cookie: config.cookie.clone(),
            channel_claim: config.channel_claim.clone(),
            mode,
        })
    }

    /// Judges the token among the values of a request's `Cookie` headers.
    pub(crate) fn identify<'a>(
        &self,
        cookies: impl Iterator<Item = &'a str>,
    ) -> Result<Identity, Denied> {
        let now = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap_or_default()
            .as_secs();
        let token = find_cookie(cookies, &self.cookie)
            .filter(|token| !token.is_empty())
            .ok_or(Denied::Absent)?;
        #[expect(clippy::cast_precision_loss, reason = "seconds are far below 2^53")]
        self.judge(&token, now as f64)
    }

    /// Judges a token at a time in whole seconds since 1970.
    fn judge(&self, token: &str, now: f64) -> Result<Identity, Denied> {
        let (message, signature) = token.rsplit_once('.').ok_or(Denied::Malformed)?;
        let (header, payload) = message
            .split_once('.')
            .filter(|(_, rest)| !rest.contains('.'))
            .ok_or(Denied::Malformed)?;
        let header = decode_text(header)?;
        let header = Value::parse(&header).map_err(|_| Denied::Malformed)?;
        let algorithm = match header.get("alg") {
            Some(Value::Text(name)) => Algorithm::parse(name),
            _ => None,
        };
        let algorithm = algorithm
            .filter(|algorithm| self.algorithms.contains(algorithm))
            .ok_or(Denied::Algorithm)?;
        if !self
            .keys
            .iter()
            .any(|key| key.verify(algorithm, message, signature))
        {
            return Err(Denied::Signature);
        }
        let payload = decode_text(payload)?;
        let claims = Value::parse(&payload).map_err(|_| Denied::Malformed)?;
        let time = |name: &'static str| match claims.get(name) {
            None => Ok(None),
            Some(Value::Number(time)) => Ok(Some(*time)),
            Some(_) => Err(Denied::NotANumber(name)),
        };
        if time("nbf")?.is_some_and(|begin| now < begin) {
            return Err(Denied::NotActive);
        }
        let expires = time("exp")?;
        if expires.is_some_and(|end| now >= end) {
            return Err(Denied::Expired);
        }
        match self.mode {
            Mode::Streams => Ok(Identity {
                channel: stream_channel(&claims, &self.channel_claim)?,
                expires: None,
            }),
            Mode::Realtime => Ok(Identity {
                channel: principal_channel(&claims)?,
                expires: Some(expires.ok_or(Denied::Claim("exp"))?),
            }),
        }
    }
}

fn decode_text(part: &str) -> Result<String, Denied> {
    URL_SAFE_NO_PAD
        .decode(part.trim_end_matches('='))
        .ok()
        .and_then(|text| String::from_utf8(text).ok())
        .ok_or(Denied::Malformed)
}

/// The claim that names the channel, if it is truthy; a number is the same channel as its text.
fn stream_channel(claims: &Value<'_>, name: &str) -> Result<String, Denied> {
    claims
        .get(name)
        .filter(|value| value.is_truthy())
        .map(|value| value.to_text().into_owned())
        .ok_or(Denied::NoChannel)
}

/// The channel of a token of Superset 7, all of whose claims must fit each other.
fn principal_channel(claims: &Value<'_>) -> Result<String, Denied> {
    let text = |name: &'static str| match claims.get(name) {
        Some(Value::Text(text)) if !text.is_empty() => Ok(text.as_ref()),
        _ => Err(Denied::Claim(name)),
    };
    let audience = match claims.get("aud") {
        Some(Value::Array(items)) => items.contains(&Value::Text("superset-websocket".into())),
        _ => text("aud")? == "superset-websocket",
    };
    if !audience {
        return Err(Denied::Claim("aud"));
    }
    if text("iss")? != "superset" {
        return Err(Denied::Claim("iss"));
    }
    let (channel, subject) = (text("channel")?, text("sub")?);
    let fits = match text("principal_type")? {
        "user" => channel.strip_prefix("user:") == Some(subject),
        "guest" => channel == subject && subject.starts_with("guest:"),
        _ => return Err(Denied::Claim("principal_type")),
    };
    if fits {
        Ok(channel.to_owned())
    } else {
        Err(Denied::Claim("channel"))
    }
}

/// The first cookie of that name as the npm package `cookie` reads it: quotes stripped,
/// percent-decoded where that gives UTF-8.
fn find_cookie<'a>(headers: impl Iterator<Item = &'a str>, name: &str) -> Option<Cow<'a, str>> {
    headers
        .flat_map(|header| header.split(';'))
        .find_map(|pair| {
            let (key, value) = pair.split_once('=')?;
            if key.trim() != name {
                return None;
            }
            let value = value.trim();
            let value = value
                .strip_prefix('"')
                .and_then(|inner| inner.strip_suffix('"'))
                .unwrap_or(value);
            Some(
                percent_decode_str(value)
                    .decode_utf8()
                    .unwrap_or(Cow::Borrowed(value)),
            )
        })
}
