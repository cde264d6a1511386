//! Session tokens: JWT, HS256 and nothing else, keys by kid. Revoked by generation, not by list.

use aldis_wire::{DeviceClass, UserId};
use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header, Validation};
use serde::{Deserialize, Serialize};

use crate::job::Generations;

/// The one algorithm. A token that names another one is invalid whatever its signature.
const ALGORITHM: Algorithm = Algorithm::HS256;

/// A signing key as the store keeps it.
#[derive(Clone)]
pub struct SigningKey {
    /// Its name in token headers.
    pub kid: String,
    /// At least 256 random bits.
    pub secret: Vec<u8>,
}

impl std::fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SigningKey").field("kid", &self.kid).finish_non_exhaustive()
    }
}

/// What a token says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Claims {
    /// Whose it is.
    pub user: UserId,
    /// The device it was given to; it logs in no other one.
    pub device_id: String,
    /// The class it was given to.
    pub class: DeviceClass,
    /// What they were then.
    pub generations: Generations,
}

/// Why a token is not accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TokenError {
    /// Not one of ours, or changed since.
    #[error("invalid token")]
    Invalid,
    /// Ours, but over.
    #[error("token expired")]
    Expired,
}

/// Why a token cannot be made.
#[derive(Clone, Debug, thiserror::Error)]
#[error("signing failed: {0}")]
pub struct SignError(String);

/// Why there is no keyring.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KeyringError {
    /// Without a key nobody can log in.
    #[error("no signing key")]
    Empty,
    /// Shorter than the hash: it could be guessed.
    #[error("a signing key has fewer than 256 bits")]
    Weak,
}

/// As they stand in the token.
#[derive(Serialize, Deserialize)]
struct RawClaims {
    sub: String,
    dev: String,
    cls: i64,
    gu: u32,
    gd: u32,
    iat: u64,
    exp: u64,
}

struct Key {
    kid: String,
    encoding: EncodingKey,
    decoding: DecodingKey,
}

/// The keys of the cluster. The last one signs, all verify.
pub struct Keyring {
    keys: Vec<Key>,
    validation: Validation,
}

impl std::fmt::Debug for Keyring {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_list().entries(self.keys.iter().map(|key| &key.kid)).finish()
    }
}

impl Keyring {
    /// From the store's keys, oldest first.
    pub fn new(keys: &[SigningKey]) -> Result<Self, KeyringError> {
        if keys.is_empty() {
            return Err(KeyringError::Empty);
        }
        if keys.iter().any(|key| key.secret.len() < 32) {
            return Err(KeyringError::Weak);
        }
        let mut validation = Validation::new(ALGORITHM);
        // The clock is handed in; the library would ask the system's.
        validation.validate_exp = false;
        validation.required_spec_claims.clear();
        let keys = keys.iter().map(|key| Key {
            kid: key.kid.clone(),
            encoding: EncodingKey::from_secret(&key.secret),
            decoding: DecodingKey::from_secret(&key.secret),
        });
        Ok(Self { keys: keys.collect(), validation })
    }

    /// A token that holds until `expires_ms` (Unix time, rounded down to a second).
    pub fn mint(&self, claims: &Claims, now_ms: u64, expires_ms: u64) -> Result<String, SignError> {
        let key = self.keys.last().ok_or_else(|| SignError("no key".into()))?;
        let header = Header { kid: Some(key.kid.clone()), ..Header::new(ALGORITHM) };
        let raw = RawClaims {
            sub: claims.user.to_string(),
            dev: claims.device_id.clone(),
            cls: claims.class.number(),
            gu: claims.generations.user,
            gd: claims.generations.device,
            iat: now_ms / 1000,
            exp: expires_ms / 1000,
        };
        jsonwebtoken::encode(&header, &raw, &key.encoding).map_err(|e| SignError(e.to_string()))
    }

    /// What a token says, if it is ours and still holds.
    pub fn verify(&self, token: &str, now_ms: u64) -> Result<Claims, TokenError> {
        let header = jsonwebtoken::decode_header(token).map_err(|_| TokenError::Invalid)?;
        let kid = header.kid.ok_or(TokenError::Invalid)?;
        let key = self.keys.iter().find(|key| key.kid == kid).ok_or(TokenError::Invalid)?;
        let raw = jsonwebtoken::decode::<RawClaims>(token, &key.decoding, &self.validation)
            .map_err(|_| TokenError::Invalid)?
            .claims;
        if raw.exp.saturating_mul(1000) <= now_ms {
            return Err(TokenError::Expired);
        }
        Ok(Claims {
            user: UserId(raw.sub.parse().map_err(|_| TokenError::Invalid)?),
            device_id: raw.dev,
            class: DeviceClass::from_number(raw.cls).ok_or(TokenError::Invalid)?,
            generations: Generations { user: raw.gu, device: raw.gd },
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(kid: &str, byte: u8) -> SigningKey {
        SigningKey { kid: kid.into(), secret: vec![byte; 32] }
    }

    fn claims() -> Claims {
        Claims {
            user: UserId(10_001),
            device_id: "laptop".into(),
            class: DeviceClass::Desktop,
            generations: Generations { user: 1, device: 2 },
        }
    }

    #[test]
    fn a_token_says_what_it_was_given_until_it_expires() {
        let ring = Keyring::new(&[key("a", 1)]).unwrap();
        let token = ring.mint(&claims(), 1_000_000, 2_000_000).unwrap();
        assert_eq!(ring.verify(&token, 1_999_999), Ok(claims()));
        assert_eq!(ring.verify(&token, 2_000_000), Err(TokenError::Expired));
    }

    #[test]
    fn older_keys_verify_and_unknown_ones_do_not() {
        let old = Keyring::new(&[key("a", 1)]).unwrap();
        let both = Keyring::new(&[key("a", 1), key("b", 2)]).unwrap();
        let token = old.mint(&claims(), 0, 9_000).unwrap();
        assert_eq!(both.verify(&token, 1), Ok(claims()));
        let newer = both.mint(&claims(), 0, 9_000).unwrap();
        assert_eq!(old.verify(&newer, 1), Err(TokenError::Invalid));
        let same_name = Keyring::new(&[key("a", 3)]).unwrap();
        assert_eq!(same_name.verify(&token, 1), Err(TokenError::Invalid));
    }

    #[test]
    fn every_flipped_bit_and_every_other_algorithm_is_refused() {
        let ring = Keyring::new(&[key("a", 1)]).unwrap();
        let token = ring.mint(&claims(), 0, 9_000).unwrap();
        for at in 0..token.len() {
            let mut bytes = token.clone().into_bytes();
            bytes[at] ^= 1;
            if let Ok(changed) = String::from_utf8(bytes) {
                // The last character of a base64 part can hold bits that decode to nothing.
                assert!(
                    ring.verify(&changed, 1).is_err() || ring.verify(&changed, 1) == Ok(claims())
                );
            }
        }
        let body = token.split('.').nth(1).unwrap();
        // {"alg":"none","kid":"a"}
        let none = format!("eyJhbGciOiJub25lIiwia2lkIjoiYSJ9.{body}.");
        assert_eq!(ring.verify(&none, 1), Err(TokenError::Invalid));
        let header = Header { kid: Some("a".into()), ..Header::new(Algorithm::HS512) };
        let raw = RawClaims {
            sub: "1".into(),
            dev: "d".into(),
            cls: 1,
            gu: 0,
            gd: 0,
            iat: 0,
            exp: u64::MAX / 2000,
        };
        let other =
            jsonwebtoken::encode(&header, &raw, &EncodingKey::from_secret(&[1; 32])).unwrap();
        assert_eq!(ring.verify(&other, 1), Err(TokenError::Invalid));
    }

    #[test]
    fn weak_keys_are_refused() {
        assert!(matches!(Keyring::new(&[]), Err(KeyringError::Empty)));
        let weak = SigningKey { kid: "a".into(), secret: vec![0; 31] };
        assert!(matches!(Keyring::new(&[weak]), Err(KeyringError::Weak)));
    }
}
