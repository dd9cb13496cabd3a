use std::collections::BTreeMap;

use jsonwebtoken::{EncodingKey, Header};
use p521::ecdsa::signature::Signer;
use p521::pkcs8::{EncodePrivateKey, EncodePublicKey, LineEnding};
use proptest::prelude::*;

use super::*;
use crate::config::Flags;

const SECRET: &str = "an example secret of 32 bytes, or more";
const OLD: &str = "the secret before, of 32 bytes or more";
const NOW: f64 = 1_700_000_000.0;

fn verifier(mode: Mode, algorithms: &[&str], secret: &str) -> Verifier {
    let environment = [("JWT_SECRET", secret), ("PREVIOUS_JWT_SECRET", OLD)]
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .into_iter()
        .collect();
    let mut jwt = crate::config::Config::load(None, &environment, &Flags::default())
        .unwrap()
        .config
        .jwt;
    jwt.algorithms = algorithms.iter().map(|name| (*name).to_owned()).collect();
    Verifier::new(&jwt, mode).unwrap()
}

fn streams() -> Verifier {
    verifier(Mode::Streams, &["HS256"], SECRET)
}

fn sign(
    algorithm: jsonwebtoken::Algorithm,
    claims: &serde_json::Value,
    key: &EncodingKey,
) -> String {
    jsonwebtoken::encode(&Header::new(algorithm), claims, key).unwrap()
}

fn hs256(claims: &serde_json::Value) -> String {
    sign(
        jsonwebtoken::Algorithm::HS256,
        claims,
        &EncodingKey::from_secret(SECRET.as_bytes()),
    )
}

fn judge(claims: &serde_json::Value) -> Result<String, Denied> {
    streams()
        .judge(&hs256(claims), NOW)
        .map(|identity| identity.channel)
}

#[test]
fn the_channel_must_be_truthy_and_becomes_text() {
    use serde_json::json;
    assert_eq!(
        judge(&json!({"channel": "abc", "sub": null, "aud": "any", "iat": 1})),
        Ok("abc".to_owned())
    );
    assert_eq!(judge(&json!({"channel": 4711})), Ok("4711".to_owned()));
    let object = "[object Object]".to_owned();
    assert_eq!(judge(&json!({"channel": {}})), Ok(object));
    assert_eq!(judge(&json!({"channel": ["a", "b"]})), Ok("a,b".to_owned()));
    for name in ["constructor", "__proto__", "toString"] {
        assert_eq!(judge(&json!({"channel": name})), Ok(name.to_owned()));
    }
    for claims in [
        json!({}),
        json!({"channel": ""}),
        json!({"channel": 0}),
        json!({"channel": null}),
        json!([]),
        json!("x"),
    ] {
        assert_eq!(judge(&claims), Err(Denied::NoChannel), "{claims}");
    }
}

#[test]
fn times_have_no_leeway() {
    use serde_json::json;
    for (claims, expected) in [
        (json!({"channel": "c", "exp": NOW}), Err(Denied::Expired)),
        (
            json!({"channel": "c", "exp": NOW + 1.0}),
            Ok("c".to_owned()),
        ),
        (json!({"channel": "c", "nbf": NOW}), Ok("c".to_owned())),
        (
            json!({"channel": "c", "nbf": NOW + 1.0}),
            Err(Denied::NotActive),
        ),
        (
            json!({"channel": "c", "exp": "soon"}),
            Err(Denied::NotANumber("exp")),
        ),
        (
            json!({"channel": "c", "exp": null}),
            Err(Denied::NotANumber("exp")),
        ),
        (
            json!({"channel": "c", "nbf": "soon"}),
            Err(Denied::NotANumber("nbf")),
        ),
    ] {
        assert_eq!(judge(&claims), expected, "{claims}");
    }
}

#[test]
fn only_the_configured_algorithms_and_secrets_are_taken() {
    let claims = serde_json::json!({"channel": "c"});
    let key = EncodingKey::from_secret(SECRET.as_bytes());
    let old = EncodingKey::from_secret(OLD.as_bytes());
    let judge = |token: &str| streams().judge(token, NOW).map(|identity| identity.channel);
    assert_eq!(
        judge(&sign(jsonwebtoken::Algorithm::HS512, &claims, &key)),
        Err(Denied::Algorithm)
    );
    assert_eq!(
        judge(&sign(jsonwebtoken::Algorithm::HS256, &claims, &old)),
        Ok("c".to_owned())
    );
    let other = EncodingKey::from_secret(b"some other secret of thirty-two bytes");
    assert_eq!(
        judge(&sign(jsonwebtoken::Algorithm::HS256, &claims, &other)),
        Err(Denied::Signature)
    );
    let unsigned = format!(
        "{}.{}.",
        URL_SAFE_NO_PAD.encode(r#"{"alg":"none"}"#),
        URL_SAFE_NO_PAD.encode("{}")
    );
    assert_eq!(judge(&unsigned), Err(Denied::Algorithm));
    assert_eq!(judge("e30.e30.e30"), Err(Denied::Algorithm));
    for token in ["a", "a.b", "a.b.c.d", "..."] {
        assert_eq!(judge(token), Err(Denied::Malformed), "{token}");
    }
    let token = hs256(&claims);
    assert_eq!(judge(&token[..token.len() - 2]), Err(Denied::Signature));
}

#[test]
fn elliptic_keys_verify_and_are_no_shared_secrets() {
    let claims = serde_json::json!({"channel": "c"});
    for (name, algorithm, curve) in [
        (
            "ES256",
            jsonwebtoken::Algorithm::ES256,
            &rcgen::PKCS_ECDSA_P256_SHA256,
        ),
        (
            "ES384",
            jsonwebtoken::Algorithm::ES384,
            &rcgen::PKCS_ECDSA_P384_SHA384,
        ),
    ] {
        let pair = rcgen::KeyPair::generate_for(curve).unwrap();
        let public = rcgen::PublicKeyData::subject_public_key_info(&pair);
        let public = format!(
            "-----BEGIN PUBLIC KEY-----\n{}\n-----END PUBLIC KEY-----\n",
            base64::engine::general_purpose::STANDARD.encode(public)
        );
        let verifier = verifier(Mode::Streams, &[name, "HS256"], &public);
        let token = sign(
            algorithm,
            &claims,
            &EncodingKey::from_ec_pem(pair.serialize_pem().as_bytes()).unwrap(),
        );
        assert!(verifier.judge(&token, NOW).is_ok(), "{name}");
        // Whoever knows the public key must not be able to sign with it.
        let forged = sign(
            jsonwebtoken::Algorithm::HS256,
            &claims,
            &EncodingKey::from_secret(public.as_bytes()),
        );
        assert_eq!(
            verifier.judge(&forged, NOW),
            Err(Denied::Signature),
            "{name}"
        );
    }
}

#[test]
fn es512_is_verified() {
    let secret = p521::SecretKey::from_slice(&[7; 66].map(|byte: u8| byte & 1)).unwrap();
    let public = secret
        .public_key()
        .to_public_key_pem(LineEnding::LF)
        .unwrap();
    assert!(secret.to_pkcs8_der().is_ok());
    let verifier = verifier(Mode::Streams, &["ES512"], &public);
    let message = format!(
        "{}.{}",
        URL_SAFE_NO_PAD.encode(r#"{"alg":"ES512","typ":"JWT"}"#),
        URL_SAFE_NO_PAD.encode(r#"{"channel":"c"}"#)
    );
    let key = p521::ecdsa::SigningKey::from_slice(&secret.to_bytes()).unwrap();
    let signature: p521::ecdsa::Signature = key.sign(message.as_bytes());
    let token = format!("{message}.{}", URL_SAFE_NO_PAD.encode(signature.to_bytes()));
    assert_eq!(verifier.judge(&token, NOW).unwrap().channel, "c");
    let tampered = token.replacen(
        &URL_SAFE_NO_PAD.encode(r#"{"channel":"c"}"#),
        &URL_SAFE_NO_PAD.encode(r#"{"channel":"d"}"#),
        1,
    );
    assert_eq!(verifier.judge(&tampered, NOW), Err(Denied::Signature));
}

#[test]
fn certificates_and_pss_keys_are_keys_too() {
    let es512 = include_str!("fixtures/p521.cert.pem");
    let pss = include_str!("fixtures/pss.pub.pem");
    let pss_certificate = include_str!("fixtures/pss.cert.pem");
    for (name, token, key) in [
        ("ES512", include_str!("fixtures/p521.jwt"), es512),
        ("PS256", include_str!("fixtures/pss.jwt"), pss),
        ("PS256", include_str!("fixtures/pss.jwt"), pss_certificate),
    ] {
        let judge = |token: &str| {
            let identity = verifier(Mode::Streams, &[name], key).judge(token, NOW);
            identity.map(|identity| identity.channel)
        };
        let token = token.trim();
        assert_eq!(judge(token), Ok("c".to_owned()), "{name}");
        let (message, _) = token.rsplit_once('.').unwrap();
        assert_eq!(judge(&format!("{message}.AAAA")), Err(Denied::Signature));
    }
    assert!(!Key::new(pss).fits(Algorithm::parse("RS256").unwrap()));
}

#[test]
fn rsa_keys_verify() {
    let private = include_str!("fixtures/rsa.pem");
    let public = include_str!("fixtures/rsa.pub.pem");
    let claims = serde_json::json!({"channel": "c"});
    let key = EncodingKey::from_rsa_pem(private.as_bytes()).unwrap();
    for (name, algorithm) in [
        ("RS256", jsonwebtoken::Algorithm::RS256),
        ("RS384", jsonwebtoken::Algorithm::RS384),
        ("RS512", jsonwebtoken::Algorithm::RS512),
        ("PS256", jsonwebtoken::Algorithm::PS256),
        ("PS384", jsonwebtoken::Algorithm::PS384),
        ("PS512", jsonwebtoken::Algorithm::PS512),
    ] {
        let verifier = verifier(Mode::Streams, &[name], public);
        assert!(
            verifier.judge(&sign(algorithm, &claims, &key), NOW).is_ok(),
            "{name}"
        );
        assert_eq!(verifier.judge(&hs256(&claims), NOW), Err(Denied::Algorithm));
    }
}

#[test]
fn algorithms_that_dont_exist_or_dont_fit_the_secret_are_errors() {
    let jwt = |algorithms: &[&str]| {
        let environment = BTreeMap::from([("JWT_SECRET".to_owned(), SECRET.to_owned())]);
        let mut jwt = crate::config::Config::load(None, &environment, &Flags::default())
            .unwrap()
            .config
            .jwt;
        jwt.algorithms = algorithms.iter().map(|name| (*name).to_owned()).collect();
        Verifier::new(&jwt, Mode::Streams).map(|_| ())
    };
    assert!(matches!(jwt(&["none"]), Err(ConfigError::Choice { .. })));
    assert!(matches!(jwt(&["RS256"]), Err(ConfigError::Conflict(_))));
    assert!(jwt(&["RS256", "HS256"]).is_ok());
}

#[test]
fn tokens_of_superset_7_must_have_all_claims_fit() {
    use serde_json::{Value as Json, json};
    let user = json!({
        "channel": "user:7", "sub": "7", "principal_type": "user", "aud": "superset-websocket", "iss": "superset", "exp": NOW + 9.0
    });
    let guest = json!({
        "channel": "guest:x", "sub": "guest:x", "principal_type": "guest", "aud": ["superset-websocket"], "iss": "superset", "exp": NOW + 9.0
    });
    let verifier = verifier(Mode::Realtime, &["HS256"], SECRET);
    for claims in [&user, &guest] {
        let identity = verifier.judge(&hs256(claims), NOW).unwrap();
        assert_eq!(
            (Json::from(identity.channel), identity.expires),
            (claims["channel"].clone(), Some(NOW + 9.0))
        );
    }
    for (claim, wrong) in [
        ("channel", json!("user:8")),
        ("channel", Json::Null),
        ("sub", json!(7)),
        ("principal_type", json!("admin")),
        ("principal_type", json!("guest")),
        ("aud", json!("superset")),
        ("iss", json!("someone")),
        ("exp", Json::Null),
    ] {
        let mut claims = user.clone();
        claims[claim] = wrong.clone();
        assert!(
            verifier.judge(&hs256(&claims), NOW).is_err(),
            "{claim} {wrong}"
        );
        claims.as_object_mut().unwrap().remove(claim);
        assert!(
            verifier.judge(&hs256(&claims), NOW).is_err(),
            "without {claim}"
        );
    }
}

#[test]
fn cookies_are_read_as_the_npm_package_reads_them() {
    let find = |header: &'static str| find_cookie([header].into_iter(), "async-token");
    assert_eq!(
        find("a=1; async-token=x.y.z ;async-token=later").as_deref(),
        Some("x.y.z")
    );
    assert_eq!(find(r#"async-token="quoted""#).as_deref(), Some("quoted"));
    assert_eq!(find(r#"async-token="half"#).as_deref(), Some("\"half"));
    assert_eq!(find("async-token=a%2Eb").as_deref(), Some("a.b"));
    assert_eq!(find("async-token=%ff").as_deref(), Some("%ff"));
    assert_eq!(find("async-token").as_deref(), None);
    assert_eq!(find("xasync-token=1").as_deref(), None);
    let two = find_cookie(["a=1", "async-token=2"].into_iter(), "async-token");
    assert_eq!(two.as_deref(), Some("2"));
    assert_eq!(
        streams().identify(["async-token="].into_iter()),
        Err(Denied::Absent)
    );
}

proptest! {
    #[test]
    fn no_cookie_panics_or_connects(header: String, token in "[A-Za-z0-9_=.-]{0,80}") {
        let verifier = streams();
        let made = format!("async-token={token}");
        prop_assert!(verifier.identify([header.as_str(), made.as_str()].into_iter()).is_err());
    }

    #[test]
    fn no_signed_claims_panic(text in "\\PC{0,40}", number: f64) {
        let verifier = streams();
        for claims in [serde_json::json!({"channel": text, "exp": number}), serde_json::json!({"channel": number, "nbf": text})] {
            let _ = verifier.judge(&hs256(&claims), NOW);
        }
    }
}
