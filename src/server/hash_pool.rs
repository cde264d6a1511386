//! The password pool: argon2id, bounded, so that logins never delay messages.

use aldis_logic::job::{HashJob, HashReply, HashRequest, HashResult};
use argon2::password_hash::{PasswordHasher, PasswordVerifier};
use argon2::{Algorithm, Argon2, Params, PasswordHash, Version};
use crossbeam::channel::Receiver;

use crate::urgency;

/// OWASP's first choice for argon2id: 19 MiB, two passes, one lane; 13 ms on a current core.
const MEMORY_KIB: u32 = 19_456;
const PASSES: u32 = 2;
const LANES: u32 = 1;

/// Makes and checks PHC strings.
#[derive(Clone)]
pub struct Hasher {
    argon2: Argon2<'static>,
    /// Of a password that nobody has: checking it takes as long as any other.
    nobodys: String,
}

/// Why passwords cannot be hashed.
#[derive(Debug, thiserror::Error)]
#[error("password hashing: {0}")]
pub struct HashError(String);

impl Hasher {
    /// Ready to hash; hashes once itself.
    pub fn new() -> Result<Self, HashError> {
        let params = Params::new(MEMORY_KIB, PASSES, LANES, None)
            .map_err(|error| HashError(error.to_string()))?;
        let argon2 = Argon2::new(Algorithm::Argon2id, Version::V0x13, params);
        let mut hasher = Self { argon2, nobodys: String::new() };
        hasher.nobodys = hasher.hash("nobody has this password")?;
        Ok(hasher)
    }

    /// The PHC string of a password, with a salt from the kernel.
    pub fn hash(&self, password: &str) -> Result<String, HashError> {
        let hash = self.argon2.hash_password(password.as_bytes());
        hash.map(|phc| phc.to_string()).map_err(|error| HashError(error.to_string()))
    }

    /// Whether the password is the one; an empty PHC string takes the same time and never fits.
    pub fn verify(&self, password: &str, password_phc: &str) -> bool {
        let phc = if password_phc.is_empty() { &self.nobodys } else { password_phc };
        let fits = PasswordHash::new(phc)
            .is_ok_and(|hash| self.argon2.verify_password(password.as_bytes(), &hash).is_ok());
        fits && !password_phc.is_empty()
    }
}

/// Works until the queue's senders are gone.
pub fn run(hasher: &Hasher, jobs: &Receiver<HashRequest>, done: impl Fn(HashReply)) {
    urgency::check_passwords();
    for request in jobs {
        let result = match request.job {
            HashJob::Hash { password } => match hasher.hash(&password) {
                Ok(phc) => HashResult::Hashed(phc),
                Err(error) => {
                    log::error!("{error}");
                    HashResult::Failed
                }
            },
            HashJob::Verify { password, password_phc } => {
                HashResult::Verified(hasher.verify(&password, &password_phc))
            }
        };
        done(HashReply { ticket: request.ticket, result });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_right_password_fits() {
        let hasher = Hasher::new().unwrap();
        let phc = hasher.hash("correct horse").unwrap();
        assert!(phc.starts_with("$argon2id$v=19$m=19456,t=2,p=1$"), "{phc}");
        assert_ne!(phc, hasher.hash("correct horse").unwrap());
        assert!(hasher.verify("correct horse", &phc));
        assert!(!hasher.verify("correct horsf", &phc));
        assert!(!hasher.verify("nobody has this password", ""));
        assert!(!hasher.verify("x", "no phc string"));
    }
}
