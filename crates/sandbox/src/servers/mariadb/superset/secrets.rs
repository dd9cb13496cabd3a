//! How Superset encrypts: sqlalchemy-utils' `EncryptedType` with its engine AES. The key
//! is the SHA-256 of `SECRET_KEY`, the vector its first half, the padding 1 to 16 `*`, and
//! what is stored is base64.

use aes::Aes256;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use cbc::cipher::block_padding::NoPadding;
use cbc::cipher::{BlockModeDecrypt, BlockModeEncrypt, KeyIvInit};
use sha2::{Digest, Sha256};

const BLOCK: usize = 16;
const PAD: char = '*';

/// A `SECRET_KEY` as the cipher takes it.
pub(super) struct Key {
    key: [u8; 32],
    vector: [u8; BLOCK],
}

impl Key {
    pub(super) fn new(secret: &str) -> Self {
        let key: [u8; 32] = Sha256::digest(secret.as_bytes()).into();
        let mut vector = [0; BLOCK];
        vector.copy_from_slice(&key[..BLOCK]);
        Self { key, vector }
    }

    pub(super) fn encrypt(&self, text: &str) -> String {
        let mut text = text.to_owned();
        for _ in 0..BLOCK - text.len() % BLOCK {
            text.push(PAD);
        }
        let cipher = cbc::Encryptor::<Aes256>::new(&self.key.into(), &self.vector.into());
        STANDARD.encode(cipher.encrypt_padded_vec::<NoPadding>(text.as_bytes()))
    }

    /// The text, if that was encrypted by this key.
    pub(super) fn decrypt(&self, stored: &str) -> Option<String> {
        let stored = STANDARD.decode(stored).ok()?;
        let cipher = cbc::Decryptor::<Aes256>::new(&self.key.into(), &self.vector.into());
        let text = cipher.decrypt_padded_vec::<NoPadding>(&stored).ok()?;
        let text = String::from_utf8(text).ok()?;
        text.ends_with(PAD)
            .then(|| text.trim_end_matches(PAD).to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::super::{PRODUCTION_KEY, STAGING_KEY};
    use super::*;

    #[test]
    fn supersets_own_values_are_read() {
        let key = Key::new(PRODUCTION_KEY);
        // ssh_tunnels.password of the dump.
        let stored = "HLdZkzmM56nTcL+riT67/g==";
        let text = key.decrypt(stored).unwrap();
        assert_eq!(key.encrypt(&text), stored);
        assert_eq!(Key::new(STAGING_KEY).decrypt(stored), None);
    }

    #[test]
    fn every_length_comes_back() {
        let key = Key::new("elvis");
        for length in 0..40 {
            let text = "é".repeat(length);
            assert_eq!(key.decrypt(&key.encrypt(&text)), Some(text));
        }
    }
}
