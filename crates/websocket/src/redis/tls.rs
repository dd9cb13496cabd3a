//! TLS as Node.js speaks it: Mozilla's authorities unless others are given, TLS 1.2 and 1.3.

use std::path::Path;
use std::sync::Arc;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{WebPkiServerVerifier, verify_server_name};
use rustls::crypto::{CryptoProvider, ring};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::{
    CertificateError, ClientConfig, DigitallySignedStruct, Error, RootCertStore, SignatureScheme,
};
use tokio_rustls::TlsConnector;

use super::LinkError;
use crate::config::TlsConfig;

fn unusable(file: &Path, reason: impl std::fmt::Display) -> LinkError {
    LinkError::TlsFile {
        file: file.display().to_string(),
        reason: reason.to_string(),
    }
}

/// Makes the side of a TLS connection that a configuration describes.
pub(super) fn connector(
    config: &TlsConfig,
    warnings: &mut Vec<String>,
) -> Result<TlsConnector, LinkError> {
    let provider = Arc::new(ring::default_provider());
    let mut roots = RootCertStore::empty();
    let mut own = Vec::new();
    if config.ca_file.is_none() {
        roots.extend(webpki_roots::TLS_SERVER_ROOTS.iter().cloned());
    }
    if let Some(file) = &config.ca_file {
        for certificate in certificates(file)? {
            roots
                .add(certificate.clone())
                .map_err(|error| unusable(file, error))?;
            own.push(certificate);
        }
    }
    if let Some(file) = &config.extra_ca_file {
        // It is often set for a whole machine; Node.js goes on without what it can't read.
        match certificates(file) {
            Ok(found) => {
                roots.add_parsable_certificates(found.iter().cloned());
                own.extend(found);
            }
            Err(error) => warnings.push(format!(
                "going on without redis.extraCaFile: {}",
                error.chain()
            )),
        }
    }
    let internal = |error: Error| LinkError::TlsFile {
        file: "(all)".to_owned(),
        reason: error.to_string(),
    };
    let verifier =
        WebPkiServerVerifier::builder_with_provider(Arc::new(roots), Arc::clone(&provider))
            .build()
            .map_err(|error| internal(Error::General(error.to_string())))?;
    let verifier = Lenient {
        inner: verifier,
        provider: Arc::clone(&provider),
        own,
        names: config.validate_hostname,
        chain: config.verify,
    };
    let builder = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(internal)?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(verifier));
    let client = match (&config.cert_file, &config.key_file) {
        (Some(certificate), Some(key)) => {
            let private =
                PrivateKeyDer::from_pem_file(key).map_err(|error| unusable(key, error))?;
            builder
                .with_client_auth_cert(certificates(certificate)?, private)
                .map_err(|error| unusable(certificate, error))?
        }
        _ => builder.with_no_client_auth(),
    };
    Ok(TlsConnector::from(Arc::new(client)))
}

fn certificates(file: &Path) -> Result<Vec<CertificateDer<'static>>, LinkError> {
    let found: Vec<_> = CertificateDer::pem_file_iter(file)
        .map_err(|error| unusable(file, error))?
        .collect::<Result<_, _>>()
        .map_err(|error| unusable(file, error))?;
    if found.is_empty() {
        Err(unusable(file, "it holds no certificate"))
    } else {
        Ok(found)
    }
}

/// The usual verifier, with the two switches that the Node.js server has.
#[derive(Debug)]
struct Lenient {
    inner: Arc<WebPkiServerVerifier>,
    provider: Arc<CryptoProvider>,
    /// The certificates of the configured files. A server may show one of these itself: a
    /// self-signed one is no authority to webpki, but it is to OpenSSL and so to Node.js.
    own: Vec<CertificateDer<'static>>,
    names: bool,
    chain: bool,
}

/// Whether all that is wrong with a certificate is who issued it. webpki judges that after the
/// certificate's dates and before its name.
fn is_of_issuer(error: &Error) -> bool {
    match error {
        Error::InvalidCertificate(CertificateError::UnknownIssuer) => true,
        Error::InvalidCertificate(CertificateError::Other(other)) => {
            other.0.downcast_ref() == Some(&webpki::Error::CaUsedAsEndEntity)
        }
        _ => false,
    }
}

impl ServerCertVerifier for Lenient {
    fn verify_server_cert(
        &self,
        certificate: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        match self
            .inner
            .verify_server_cert(certificate, intermediates, name, ocsp, now)
        {
            // webpki judges the name last: all else was in order.
            Err(Error::InvalidCertificate(
                CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. },
            )) if !self.names => Ok(ServerCertVerified::assertion()),
            Err(_) if !self.chain => Ok(ServerCertVerified::assertion()),
            Err(error) if is_of_issuer(&error) && self.own.contains(certificate) => {
                if self.names {
                    verify_server_name(&ParsedCertificate::try_from(certificate)?, name)?;
                }
                Ok(ServerCertVerified::assertion())
            }
            other => other,
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        rustls::crypto::verify_tls12_signature(
            message,
            certificate,
            signed,
            &self.provider.signature_verification_algorithms,
        )
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        rustls::crypto::verify_tls13_signature(
            message,
            certificate,
            signed,
            &self.provider.signature_verification_algorithms,
        )
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider
            .signature_verification_algorithms
            .supported_schemes()
    }
}
