//! The HTTP side: health, metrics, and the upgrade to a WebSocket.

use std::collections::HashSet;
use std::net::IpAddr;
use std::sync::Arc;

use bytes::Bytes;
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::header::{
    CONNECTION, CONTENT_TYPE, COOKIE, HeaderMap, HeaderName, HeaderValue, ORIGIN,
    SEC_WEBSOCKET_ACCEPT, SEC_WEBSOCKET_KEY, SEC_WEBSOCKET_PROTOCOL, SEC_WEBSOCKET_VERSION,
    UPGRADE,
};
use hyper::{Method, Request, Response, StatusCode, Uri, Version};
use thiserror::Error;
use tracing::{error, info, warn};
use tungstenite::handshake::derive_accept_key;
use url::Url;

use crate::auth::Identity;
use crate::config::{Mode, Refusal};
use crate::server::{Plan, State};
use crate::streams::StreamId;

/// The connection is to be closed without a word.
#[derive(Debug, Error)]
#[error("refused without an answer")]
pub(crate) struct Destroyed;

type Answer = Response<Full<Bytes>>;

/// Answers one request of a client at `peer`.
pub(crate) async fn answer(
    state: Arc<State>,
    peer: IpAddr,
    mut request: Request<Incoming>,
) -> Result<Answer, Destroyed> {
    if wants_upgrade(request.headers()) {
        return match plan(&state, &request) {
            Ok((plan, response)) => {
                State::take_over(&state, hyper::upgrade::on(&mut request), peer, plan);
                Ok(response)
            }
            Err(refused) => refuse(&state, peer, &refused),
        };
    }
    let path = path(request.uri());
    let path = path.as_ref().map_or("", Url::path);
    let reading = matches!(*request.method(), Method::GET | Method::HEAD);
    Ok(match path {
        "/health" if reading => plain(StatusCode::OK, None, "OK"),
        "/ready" if reading => {
            if state.ready().await {
                plain(StatusCode::OK, None, "OK")
            } else {
                plain(StatusCode::SERVICE_UNAVAILABLE, None, "Redis is away")
            }
        }
        "/metrics" if reading => {
            let body = state.hub.metrics.render();
            plain(StatusCode::OK, Some("text/plain; version=0.0.4"), body)
        }
        _ => {
            // Not the query: it can hold what is no business of a log.
            info!(
                "Received unexpected request: {} {}",
                request.method(),
                request.uri().path().escape_debug()
            );
            plain(StatusCode::NOT_FOUND, None, "Not Found")
        }
    })
}

/// A request's target as JavaScript's `URL` reads it, dots resolved; `None` for what names no place.
fn path(target: &Uri) -> Option<Url> {
    Url::parse("http://localhost/")
        .ok()?
        .join(&target.to_string())
        .ok()
}

fn plain(status: StatusCode, kind: Option<&'static str>, body: impl Into<Bytes>) -> Answer {
    let mut response = Response::new(Full::new(body.into()));
    *response.status_mut() = status;
    if let Some(kind) = kind {
        response
            .headers_mut()
            .insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    }
    response
}

/// Whether Node.js would call a request an upgrade.
fn wants_upgrade(headers: &HeaderMap) -> bool {
    headers.contains_key(UPGRADE)
        && texts(headers, &CONNECTION)
            .flat_map(|value| value.split(','))
            .any(|option| option.trim().eq_ignore_ascii_case("upgrade"))
}

fn texts<'a>(headers: &'a HeaderMap, name: &HeaderName) -> impl Iterator<Item = &'a str> {
    headers
        .get_all(name)
        .into_iter()
        .filter_map(|value| value.to_str().ok())
}

/// Why an upgrade is refused.
struct Refused {
    status: StatusCode,
    reason: String,
    /// Whether the WebSocket library refuses it, which always answers.
    handshake: bool,
}

fn refused(status: StatusCode, reason: impl Into<String>) -> Refused {
    Refused {
        status,
        reason: reason.into(),
        handshake: false,
    }
}

fn malformed(status: StatusCode, reason: &str) -> Refused {
    Refused {
        status,
        reason: reason.to_owned(),
        handshake: true,
    }
}

fn refuse(state: &State, peer: IpAddr, refused: &Refused) -> Result<Answer, Destroyed> {
    // The levels of the Node.js server.
    if refused.status == StatusCode::FORBIDDEN {
        error!("Rejected WebSocket upgrade from {peer}: {}", refused.reason);
    } else {
        warn!("Rejected WebSocket upgrade from {peer}: {}", refused.reason);
    }
    state.hub.metrics.upgrade_rejected();
    let answered = refused.handshake || refused.status == StatusCode::SERVICE_UNAVAILABLE;
    if state.config.refusal == Refusal::Destroy && !answered {
        return Err(Destroyed);
    }
    let kind = if refused.handshake {
        "text/html"
    } else {
        "text/plain; charset=utf-8"
    };
    let mut response = plain(refused.status, Some(kind), refused.reason.clone());
    response
        .headers_mut()
        .insert(CONNECTION, HeaderValue::from_static("close"));
    if refused.handshake {
        response
            .headers_mut()
            .insert(SEC_WEBSOCKET_VERSION, HeaderValue::from_static("13, 8"));
    }
    Ok(response)
}

/// Judges an upgrade: origin, token, then the handshake itself (RFC 6455, 4.2).
fn plan(state: &State, request: &Request<Incoming>) -> Result<(Plan, Answer), Refused> {
    let headers = request.headers();
    if state.config.mode == Mode::Realtime && !state.health.is_up() {
        return Err(refused(
            StatusCode::SERVICE_UNAVAILABLE,
            "no subscription to Redis",
        ));
    }
    let origins = &state.config.sockets.allowed_origins;
    let any = origins.is_empty() || origins.iter().any(|origin| origin == "*");
    if !any
        && !texts(headers, &ORIGIN)
            .next()
            .is_some_and(|origin| origins.iter().any(|allowed| allowed == origin))
    {
        return Err(refused(StatusCode::FORBIDDEN, "Origin not allowed"));
    }
    // Other cookies may hold anything.
    let cookies: Vec<_> = headers
        .get_all(COOKIE)
        .into_iter()
        .map(|value| String::from_utf8_lossy(value.as_bytes()))
        .collect();
    let identity = state
        .verifier
        .identify(cookies.iter().map(AsRef::as_ref))
        .map_err(|denied| refused(StatusCode::UNAUTHORIZED, denied.to_string()))?;
    let response = accept(request)?;
    Ok((
        plan_socket(
            state.config.mode,
            identity,
            request.uri().query().unwrap_or_default(),
        ),
        response,
    ))
}

fn accept(request: &Request<Incoming>) -> Result<Answer, Refused> {
    let headers = request.headers();
    // Said twice is not said.
    let one = |name: HeaderName| {
        let mut values = headers.get_all(name).into_iter();
        values
            .next()
            .filter(|_| values.next().is_none())
            .and_then(|value| value.to_str().ok())
            .unwrap_or_default()
    };
    // hyper would answer, but not hand the connection over.
    if request.version() < Version::HTTP_11 {
        return Err(malformed(StatusCode::BAD_REQUEST, "Invalid HTTP version"));
    }
    if request.method() != Method::GET {
        return Err(malformed(
            StatusCode::METHOD_NOT_ALLOWED,
            "Invalid HTTP method",
        ));
    }
    if !one(UPGRADE).eq_ignore_ascii_case("websocket") {
        return Err(malformed(StatusCode::BAD_REQUEST, "Invalid Upgrade header"));
    }
    let key = one(SEC_WEBSOCKET_KEY);
    if !is_key(key) {
        return Err(malformed(
            StatusCode::BAD_REQUEST,
            "Missing or invalid Sec-WebSocket-Key header",
        ));
    }
    if !matches!(one(SEC_WEBSOCKET_VERSION), "8" | "13") {
        return Err(malformed(
            StatusCode::BAD_REQUEST,
            "Missing or invalid Sec-WebSocket-Version header",
        ));
    }
    let mut response = plain(StatusCode::SWITCHING_PROTOCOLS, None, "");
    let answer = response.headers_mut();
    answer.insert(CONNECTION, HeaderValue::from_static("Upgrade"));
    answer.insert(UPGRADE, HeaderValue::from_static("websocket"));
    let invalid = || {
        malformed(
            StatusCode::BAD_REQUEST,
            "Invalid Sec-WebSocket-Protocol header",
        )
    };
    if headers.contains_key(SEC_WEBSOCKET_PROTOCOL) {
        let offered: Vec<&str> = texts(headers, &SEC_WEBSOCKET_PROTOCOL)
            .flat_map(|value| value.split(','))
            .map(|name| name.trim_matches([' ', '\t']))
            .collect();
        let distinct: HashSet<_> = offered.iter().collect();
        let first = offered
            .first()
            .filter(|_| offered.iter().all(|name| is_token(name)))
            .filter(|_| distinct.len() == offered.len())
            .ok_or_else(invalid)?;
        answer.insert(
            SEC_WEBSOCKET_PROTOCOL,
            HeaderValue::from_str(first).map_err(|_| invalid())?,
        );
    }
    let accepted = HeaderValue::from_str(&derive_accept_key(key.as_bytes())).map_err(|_| {
        malformed(
            StatusCode::BAD_REQUEST,
            "Missing or invalid Sec-WebSocket-Key header",
        )
    })?;
    answer.insert(SEC_WEBSOCKET_ACCEPT, accepted);
    Ok(response)
}

/// Whether a key is 16 bytes in base64.
fn is_key(key: &str) -> bool {
    key.len() == 24
        && key.ends_with("==")
        && key
            .bytes()
            .take(22)
            .all(|byte| byte.is_ascii_alphanumeric() || byte == b'+' || byte == b'/')
}

/// Whether a name is a token (RFC 9110, 5.6.2).
fn is_token(name: &str) -> bool {
    !name.is_empty()
        && name
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte))
}

/// What the query asks of the socket: `last_id` of streams, `tab_id` of realtime. What is not of
/// their form is ignored.
fn plan_socket(mode: Mode, identity: Identity, query: &str) -> Plan {
    let parameter = |wanted: &str| {
        form_urlencoded::parse(query.as_bytes())
            .find(|(name, _)| name == wanted)
            .map(|(_, value)| value)
    };
    let mut plan = Plan {
        routes: vec![identity.channel.into()],
        expires: identity.expires,
        last: None,
    };
    match mode {
        Mode::Streams => {
            if let Some(text) = parameter("last_id").filter(|text| !text.is_empty()) {
                plan.last = StreamId::parse_last(&text);
                if plan.last.is_none() {
                    let shown: String = text.chars().take(64).collect();
                    warn!("ignoring invalid last_id {}", shown.escape_debug());
                }
            }
        }
        Mode::Realtime => {
            if let Some(tab) = parameter("tab_id").filter(|tab| is_tab(tab)) {
                let route = format!("{}:{tab}", plan.routes[0]);
                plan.routes.push(route.into());
            }
        }
    }
    plan
}

fn is_tab(tab: &str) -> bool {
    (1..=64).contains(&tab.len())
        && tab
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-')
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn planned(mode: Mode, query: &str) -> Plan {
        plan_socket(
            mode,
            Identity {
                channel: "user:1".to_owned(),
                expires: None,
            },
            query,
        )
    }

    #[test]
    fn the_query_is_read_as_url_search_params_reads_it() {
        let last = |query| planned(Mode::Streams, query).last.map(|id| id.to_string());
        assert_eq!(last("last_id=7-1"), Some("7-1".to_owned()));
        assert_eq!(
            last("a=b&last_id=7%2D1&last_id=9-9"),
            Some("7-1".to_owned())
        );
        assert_eq!(last("last_id="), None);
        assert_eq!(last("last_id=%24"), None);
        let routes = |query| planned(Mode::Realtime, query).routes.join(" ");
        assert_eq!(routes("tab_id=A-b_9"), "user:1 user:1:A-b_9");
        for query in [
            "tab_id=",
            "tab_id=a%3Ab",
            &format!("tab_id={}", "a".repeat(65)),
        ] {
            assert_eq!(routes(query), "user:1", "{query}");
        }
    }

    proptest! {
        #[test]
        fn no_query_panics(query: String) {
            let _ = (planned(Mode::Streams, &query), planned(Mode::Realtime, &query));
        }
    }
}
