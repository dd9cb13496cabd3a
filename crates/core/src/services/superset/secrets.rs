//! Superset's encrypted columns: both layouts that its `EncryptedType` can have.
//!
//! Source: `SQLAlchemy`-Utils, `types/encrypted/encrypted_type.py` and `padding.py`. The key is
//! the SHA-256 of the `SECRET_KEY`'s UTF-8. `AesEngine`: AES-256-CBC, the key's first 16 bytes
//! for the initialisation vector, 1 to 16 `*` of padding; it has no authentication.
//! `AesGcmEngine`: a random vector of 12 bytes, the tag of 16, the ciphertext. Both are kept
//! as standard base64.

use std::fmt;

use aes::Aes256;
use aes_gcm::Aes256Gcm;
use aes_gcm::aead::{Aead, Generate, KeyInit, Nonce};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use cbc::cipher::block_padding::NoPadding;
use cbc::cipher::{BlockModeDecrypt, BlockModeEncrypt, KeyIvInit};
use sha2::{Digest, Sha256};

use crate::services::sql::Secret;

const BLOCK: usize = 16;
const VECTOR: usize = 12;
const TAG: usize = 16;
const PADDING: u8 = b'*';

/// How a value was encrypted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Layout {
    /// AES-256-CBC, Superset's default.
    Cbc,
    /// AES-256-GCM.
    Gcm,
}

/// Why a value could not be decrypted or encrypted. Never holds the value.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SecretError {
    /// It was not encrypted by Superset at all.
    #[error("not base64 of whole blocks")]
    Malformed,
    /// It was encrypted with another key.
    #[error("does not open with this key")]
    WrongKey,
    /// The system gives no random numbers.
    #[error("no random numbers")]
    NoRandom,
}

/// The key that Superset derives from its `SECRET_KEY`.
#[derive(Clone, PartialEq, Eq)]
pub struct SecretKey([u8; 32]);

impl fmt::Debug for SecretKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SecretKey")
    }
}

impl SecretKey {
    /// Of this `SECRET_KEY`.
    pub fn new(secret: &Secret) -> Self {
        Self(Sha256::digest(secret.reveal().as_bytes()).into())
    }

    /// The text of a stored value, and its layout.
    ///
    /// A value of the CBC layout opened with a wrong key passes with a chance of less than
    /// 1 in 256 times that of random bytes being UTF-8; whoever has several values asks for
    /// all of them to open.
    pub fn open(&self, stored: &[u8]) -> Result<(Layout, Secret), SecretError> {
        let bytes = STANDARD
            .decode(stored)
            .map_err(|_| SecretError::Malformed)?;
        if let Some(text) = self.open_gcm(&bytes) {
            return Ok((Layout::Gcm, Secret::new(text)));
        }
        let padded = self.open_cbc(bytes)?;
        let text = unpadded(&padded).ok_or(SecretError::WrongKey)?;
        Ok((Layout::Cbc, Secret::new(text)))
    }

    /// The same value for another key. A text that itself ends in `*`, which Superset reads
    /// without it, is kept whole.
    pub fn reseal(&self, stored: &[u8], to: &Self) -> Result<String, SecretError> {
        match self.open(stored)? {
            (Layout::Gcm, text) => to.seal(Layout::Gcm, &text),
            (Layout::Cbc, _) => {
                let bytes = STANDARD
                    .decode(stored)
                    .map_err(|_| SecretError::Malformed)?;
                let padded = self.open_cbc(bytes)?;
                Ok(STANDARD.encode(to.seal_cbc(padded)?))
            }
        }
    }

    /// The stored form of a text.
    pub fn seal(&self, layout: Layout, text: &Secret) -> Result<String, SecretError> {
        let bytes = match layout {
            Layout::Cbc => {
                let mut padded = text.reveal().as_bytes().to_vec();
                padded.resize((padded.len() / BLOCK + 1) * BLOCK, PADDING);
                self.seal_cbc(padded)?
            }
            Layout::Gcm => self.seal_gcm(text.reveal().as_bytes())?,
        };
        Ok(STANDARD.encode(bytes))
    }

    fn vector(&self) -> [u8; BLOCK] {
        let mut vector = [0; BLOCK];
        vector.copy_from_slice(&self.0[..BLOCK]);
        vector
    }

    /// Whole blocks, the padding still there.
    fn open_cbc(&self, mut bytes: Vec<u8>) -> Result<Vec<u8>, SecretError> {
        if bytes.is_empty() || !bytes.len().is_multiple_of(BLOCK) {
            // Nothing of the other layout's length opens by chance: it was the wrong key.
            return Err(if bytes.len() >= VECTOR + TAG {
                SecretError::WrongKey
            } else {
                SecretError::Malformed
            });
        }
        let cipher = cbc::Decryptor::<Aes256>::new(&self.0.into(), &self.vector().into());
        cipher
            .decrypt_padded::<NoPadding>(&mut bytes)
            .map_err(|_| SecretError::Malformed)?;
        Ok(bytes)
    }

    fn seal_cbc(&self, mut padded: Vec<u8>) -> Result<Vec<u8>, SecretError> {
        let length = padded.len();
        let cipher = cbc::Encryptor::<Aes256>::new(&self.0.into(), &self.vector().into());
        cipher
            .encrypt_padded::<NoPadding>(&mut padded, length)
            .map_err(|_| SecretError::Malformed)?;
        Ok(padded)
    }

    fn open_gcm(&self, bytes: &[u8]) -> Option<String> {
        let (vector, rest) = bytes.split_at_checked(VECTOR)?;
        let (tag, ciphertext) = rest.split_at_checked(TAG)?;
        let vector = Nonce::<Aes256Gcm>::try_from(vector).ok()?;
        let text = Aes256Gcm::new(&self.0.into())
            .decrypt(&vector, [ciphertext, tag].concat().as_slice())
            .ok()?;
        String::from_utf8(text).ok()
    }

    fn seal_gcm(&self, text: &[u8]) -> Result<Vec<u8>, SecretError> {
        let vector = Nonce::<Aes256Gcm>::try_generate().map_err(|_| SecretError::NoRandom)?;
        let sealed = Aes256Gcm::new(&self.0.into())
            .encrypt(&vector, text)
            .map_err(|_| SecretError::Malformed)?;
        let (ciphertext, tag) = sealed
            .split_at_checked(text.len())
            .ok_or(SecretError::Malformed)?;
        Ok([vector.as_slice(), tag, ciphertext].concat())
    }
}

/// The text before the padding, of which there is always some.
fn unpadded(padded: &[u8]) -> Option<String> {
    if padded.last() != Some(&PADDING) {
        return None;
    }
    let end = padded.iter().rposition(|byte| *byte != PADDING);
    let text = &padded[..end.map_or(0, |last| last + 1)];
    String::from_utf8(text.to_vec()).ok()
}

#[cfg(test)]
mod tests;
