//! Keys and signatures.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::DecodingKey;
use p521::ecdsa::signature::Verifier;
use p521::pkcs8::{DecodePublicKey, ObjectIdentifier, SubjectPublicKeyInfoRef};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, SubjectPublicKeyInfoDer};

/// RSASSA-PSS (RFC 4055, 3.1).
const RSASSA_PSS: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.1.10");

/// A signature algorithm (RFC 7518, 3.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Algorithm {
    Hmac(jsonwebtoken::Algorithm),
    Rsa(jsonwebtoken::Algorithm),
    Ecdsa(jsonwebtoken::Algorithm),
    /// Not among the algorithms of the crate `jsonwebtoken`.
    Es512,
}

impl Algorithm {
    pub(super) fn parse(name: &str) -> Option<Self> {
        use jsonwebtoken::Algorithm as Jwa;
        Some(match name {
            "HS256" => Self::Hmac(Jwa::HS256),
            "HS384" => Self::Hmac(Jwa::HS384),
            "HS512" => Self::Hmac(Jwa::HS512),
            "RS256" => Self::Rsa(Jwa::RS256),
            "RS384" => Self::Rsa(Jwa::RS384),
            "RS512" => Self::Rsa(Jwa::RS512),
            "PS256" => Self::Rsa(Jwa::PS256),
            "PS384" => Self::Rsa(Jwa::PS384),
            "PS512" => Self::Rsa(Jwa::PS512),
            "ES256" => Self::Ecdsa(Jwa::ES256),
            "ES384" => Self::Ecdsa(Jwa::ES384),
            "ES512" => Self::Es512,
            _ => return None,
        })
    }
}

/// A key to verify with. A public key is never used as a shared secret: whoever knows it could
/// sign with it.
pub(super) enum Key {
    Shared(DecodingKey),
    Rsa(DecodingKey),
    Ecdsa(DecodingKey),
    P521(Box<p521::ecdsa::VerifyingKey>),
    /// An RSA key that says itself that it is for PS only.
    Pss(DecodingKey),
    /// PEM that holds no public key the server can read.
    Unreadable,
}

impl Key {
    /// Reads a shared secret or a public key as PEM.
    pub(super) fn new(secret: &str) -> Self {
        if !secret.contains("-----BEGIN ") {
            return Self::Shared(DecodingKey::from_secret(secret.as_bytes()));
        }
        if let Some(key) = public_key(secret).and_then(|der| Self::from_info(&der)) {
            return key;
        }
        DecodingKey::from_rsa_pem(secret.as_bytes())
            .map(Self::Rsa)
            .or_else(|_| DecodingKey::from_ec_pem(secret.as_bytes()).map(Self::Ecdsa))
            .unwrap_or(Self::Unreadable)
    }

    /// Reads the keys that the crate `jsonwebtoken` doesn't, from their `SubjectPublicKeyInfo`.
    fn from_info(der: &[u8]) -> Option<Self> {
        if let Ok(key) = p521::PublicKey::from_public_key_der(der) {
            let key = p521::ecdsa::VerifyingKey::from_affine(*key.as_affine()).ok()?;
            return Some(Self::P521(Box::new(key)));
        }
        let info = SubjectPublicKeyInfoRef::try_from(der).ok()?;
        (info.algorithm.oid == RSASSA_PSS)
            .then(|| {
                info.subject_public_key
                    .as_bytes()
                    .map(DecodingKey::from_rsa_der)
            })?
            .map(Self::Pss)
    }

    pub(super) fn fits(&self, algorithm: Algorithm) -> bool {
        matches!(
            (self, algorithm),
            (Self::Shared(_), Algorithm::Hmac(_))
                | (Self::Rsa(_), Algorithm::Rsa(_))
                | (Self::Ecdsa(_), Algorithm::Ecdsa(_))
                | (Self::P521(_), Algorithm::Es512)
                | (
                    Self::Pss(_),
                    Algorithm::Rsa(
                        jsonwebtoken::Algorithm::PS256
                            | jsonwebtoken::Algorithm::PS384
                            | jsonwebtoken::Algorithm::PS512
                    )
                )
        )
    }

    /// Whether `signature` (base64url) is this key's of `message`.
    pub(super) fn verify(&self, algorithm: Algorithm, message: &str, signature: &str) -> bool {
        match (self, algorithm) {
            _ if !self.fits(algorithm) => false,
            (Self::Shared(key), Algorithm::Hmac(jwa))
            | (Self::Rsa(key) | Self::Pss(key), Algorithm::Rsa(jwa))
            | (Self::Ecdsa(key), Algorithm::Ecdsa(jwa)) => {
                jsonwebtoken::crypto::verify(signature, message.as_bytes(), key, jwa)
                    .unwrap_or(false)
            }
            (Self::P521(key), Algorithm::Es512) => URL_SAFE_NO_PAD
                .decode(signature)
                .ok()
                .and_then(|bytes| p521::ecdsa::Signature::from_slice(&bytes).ok())
                .is_some_and(|signature| key.verify(message.as_bytes(), &signature).is_ok()),
            _ => false,
        }
    }
}

/// The `SubjectPublicKeyInfo` of a public key or a certificate as PEM.
fn public_key(pem: &str) -> Option<Vec<u8>> {
    if let Ok(info) = SubjectPublicKeyInfoDer::from_pem_slice(pem.as_bytes()) {
        return Some(info.to_vec());
    }
    let certificate = CertificateDer::from_pem_slice(pem.as_bytes()).ok()?;
    let certificate = webpki::EndEntityCert::try_from(&certificate).ok()?;
    Some(certificate.subject_public_key_info().to_vec())
}
