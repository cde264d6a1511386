//! Any bytes as a token: only what a key of the keyring signed is believed.
//!
//! The first byte says how the token is made: from the bytes as they are; from a genuine one that they
//! change; or from them as header and claims, signed with the right key, with which nobody but the
//! server can sign, so that what follows the signature's check is reached too.

use aldis_logic::job::Generations;
use aldis_logic::{Claims, Keyring, SigningKey, TokenError};
use aldis_wire::{DeviceClass, UserId};
use jsonwebtoken::{Algorithm, EncodingKey, Header};

const NOW_MS: u64 = 1_800_000_000_000;
const TTL_MS: u64 = 3_600_000;
const SECRET: [u8; 32] = [7; 32];

fn keyring() -> Keyring {
    let key = |kid: &str, secret: [u8; 32]| SigningKey { kid: kid.into(), secret: secret.to_vec() };
    Keyring::new(&[key("old", [3; 32]), key("new", SECRET)]).expect("the keys are long enough")
}

fn claims() -> Claims {
    Claims {
        user: UserId(10_001),
        device_id: "phone".into(),
        class: DeviceClass::Phone,
        generations: Generations { user: 1, device: 2 },
    }
}

/// Runs one input.
pub fn run(data: &[u8]) {
    let Some((kind, bytes)) = data.split_first() else { return };
    match kind % 3 {
        0 => check_forged(&String::from_utf8_lossy(bytes)),
        1 => check_changed(bytes),
        _ => check_signed(bytes),
    }
}

/// Without the key nobody makes a token that is believed.
fn check_forged(token: &str) {
    let said = keyring().verify(token, NOW_MS);
    assert_eq!(said, Err(TokenError::Invalid), "{token:?}");
}

/// Each change takes three bytes: where (two), and the new byte.
fn check_changed(bytes: &[u8]) {
    let ring = keyring();
    let genuine = ring.mint(&claims(), NOW_MS, NOW_MS + TTL_MS).expect("it can be signed");
    assert_eq!(ring.verify(&genuine, NOW_MS), Ok(claims()));
    assert_eq!(ring.verify(&genuine, NOW_MS + TTL_MS), Err(TokenError::Expired));
    let mut changed = genuine.clone().into_bytes();
    for change in bytes.chunks_exact(3) {
        let at = usize::from(u16::from_le_bytes([change[0], change[1]]));
        let len = changed.len();
        match changed.get_mut(at) {
            Some(byte) => *byte = change[2],
            None if at % 2 == 0 => changed.truncate(usize::from(change[2]).min(len)),
            None => changed.push(change[2]),
        }
    }
    let changed = String::from_utf8_lossy(&changed);
    if changed != genuine {
        assert_eq!(ring.verify(&changed, NOW_MS), Err(TokenError::Invalid), "{changed:?}");
    }
}

/// Even what is signed may not be what the server signs.
fn check_signed(bytes: &[u8]) {
    let Ok(raw) = serde_json::from_slice::<serde_json::Value>(bytes) else { return };
    let header = Header { kid: Some("new".into()), ..Header::new(Algorithm::HS256) };
    let key = EncodingKey::from_secret(&SECRET);
    let Ok(token) = jsonwebtoken::encode(&header, &raw, &key) else { return };
    let Ok(claims) = keyring().verify(&token, NOW_MS) else { return };
    assert_eq!(raw["sub"].as_str().and_then(|sub| sub.parse().ok()), Some(claims.user.0));
    assert_eq!(raw["dev"].as_str(), Some(claims.device_id.as_str()));
    assert_eq!(raw["cls"].as_i64(), Some(claims.class.number()));
    assert!(raw["exp"].as_u64().is_some_and(|exp| exp > NOW_MS / 1_000), "it has expired");
}
