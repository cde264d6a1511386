//! Makes and checks PHC strings with argon2id, and keeps its memory from one to the next. Knows no thread.

use std::cell::RefCell;

use argon2::password_hash::phc::{Output, ParamsString, Salt};
use argon2::password_hash::{
    CustomizedPasswordHasher, Error, PasswordHasher, PasswordVerifier, Result as PhcResult,
};
use argon2::{Algorithm, Argon2, Block, Params, PasswordHash, Version};

/// OWASP's first choice for argon2id: 19 MiB, two passes, one lane; 13 ms on a current core.
const MEMORY_KIB: u32 = 19_456;
const PASSES: u32 = 2;
const LANES: u32 = 1;

/// Makes and checks PHC strings.
#[derive(Clone)]
pub struct Hasher {
    kept: Kept,
    /// Of a password that nobody has: checking it takes as long as any other.
    nobodys: String,
}

/// Argon2 with memory of its own. The crate's takes it from the kernel for each hash and gives it back,
/// which keeps others of the process from their memory meanwhile, and it is the hash of the least urgent
/// thread that they would wait for.
#[derive(Clone)]
struct Kept {
    params: Params,
    blocks: RefCell<Vec<Block>>,
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
        let kept = Kept { params, blocks: RefCell::default() };
        let mut hasher = Self { kept, nobodys: String::new() };
        hasher.nobodys = hasher.hash("nobody has this password")?;
        hasher.release_memory();
        Ok(hasher)
    }

    /// The PHC string of a password, with a salt from the kernel.
    pub fn hash(&self, password: &str) -> Result<String, HashError> {
        let hash = self.kept.hash_password(password.as_bytes());
        hash.map(|phc| phc.to_string()).map_err(|error| HashError(error.to_string()))
    }

    /// Whether the password is the one; an empty PHC string takes the same time and never fits.
    pub fn verify(&self, password: &str, password_phc: &str) -> bool {
        let phc = if password_phc.is_empty() { &self.nobodys } else { password_phc };
        let fits = PasswordHash::new(phc)
            .is_ok_and(|hash| self.kept.verify_password(password.as_bytes(), &hash).is_ok());
        fits && !password_phc.is_empty()
    }

    /// Gives the memory back, if there is any.
    pub fn release_memory(&self) {
        self.kept.blocks.take();
    }
}

impl PasswordHasher<PasswordHash> for Kept {
    fn hash_password_with_salt(&self, password: &[u8], salt: &[u8]) -> PhcResult<PasswordHash> {
        self.hash(Algorithm::Argon2id, Version::V0x13, self.params.clone(), password, salt)
    }
}

/// Others than [`Kept::params`] are those of hashes that were made elsewhere or before they were raised.
impl CustomizedPasswordHasher<PasswordHash> for Kept {
    type Params = Params;

    fn hash_password_customized(
        &self,
        password: &[u8],
        salt: &[u8],
        algorithm: Option<&str>,
        version: Option<u32>,
        params: Params,
    ) -> PhcResult<PasswordHash> {
        let algorithm = algorithm.map(Algorithm::try_from).transpose()?.unwrap_or_default();
        let version = version.map(Version::try_from).transpose()?.unwrap_or_default();
        self.hash(algorithm, version, params, password, salt)
    }
}

impl Kept {
    fn hash(
        &self,
        algorithm: Algorithm,
        version: Version,
        params: Params,
        password: &[u8],
        salt: &[u8],
    ) -> PhcResult<PasswordHash> {
        let salt = Salt::new(salt)?;
        let mut output = [0; Output::MAX_LENGTH];
        let len = params.output_len().unwrap_or(Params::DEFAULT_OUTPUT_LEN);
        let output = output.get_mut(..len).ok_or(Error::OutputSize)?;
        let params_string = ParamsString::try_from(&params)?;
        let mut blocks = self.blocks.borrow_mut();
        // What an earlier hash has left is overwritten before it is read.
        if blocks.len() < params.block_count() {
            blocks.resize(params.block_count(), Block::new());
        }
        Argon2::new(algorithm, version, params).hash_password_into_with_memory(
            password,
            &salt,
            output,
            blocks.as_mut_slice(),
        )?;
        Ok(PasswordHash {
            algorithm: algorithm.ident(),
            version: Some(version.into()),
            params: params_string,
            salt: Some(salt),
            hash: Some(Output::new(output)?),
        })
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

    impl Kept {
        fn has_blocks(&self) -> bool {
            !self.blocks.borrow().is_empty()
        }
    }

    #[test]
    fn memory_that_another_hash_has_left_changes_nothing() {
        let hasher = Hasher::new().unwrap();
        assert!(!hasher.kept.has_blocks());
        let salt = b"16 bytes of salt";
        let mine = |password: &[u8]| {
            let phc = hasher.kept.hash_password_with_salt(password, salt).unwrap();
            phc.to_string()
        };
        let theirs = |params: Params, password: &[u8]| {
            let argon2 = Argon2::new(Algorithm::Argon2id, Version::V0x13, params);
            argon2.hash_password_with_salt(password, salt).unwrap().to_string()
        };
        let params = hasher.kept.params.clone();
        assert_eq!(mine(b"first"), theirs(params.clone(), b"first"));
        assert_eq!(mine(b"second"), theirs(params, b"second"));

        // Of other sizes: each fits before and after memory has grown for it.
        for memory_kib in [64, 2 * MEMORY_KIB, 64] {
            let other = theirs(Params::new(memory_kib, 1, 2, Some(24)).unwrap(), b"third");
            assert!(hasher.verify("third", &other));
            assert!(!hasher.verify("fourth", &other));
        }
        assert!(hasher.kept.has_blocks());
        hasher.release_memory();
        assert!(!hasher.kept.has_blocks());
        assert!(hasher.verify("first", &mine(b"first")));
    }
}
