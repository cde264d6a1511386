//! What the tool keeps in the user's configuration directory: the device id and tokens. Files are
//! readable by the user alone and replaced as a whole.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, ErrorKind, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use aldis_client::SavedState;
use aldis_wire::DeviceClass;
use anyhow::Context;
use serde::{Deserialize, Serialize};

/// Random bytes of a device id.
const DEVICE_ID_BYTES: usize = 8;

/// A directory of tokens and the device id.
#[derive(Clone, Debug)]
pub struct Profile {
    dir: PathBuf,
}

/// Whose session, where, on which class of device.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SessionKey {
    /// As given on the command line.
    pub server: String,
    /// In its comparable form.
    pub user: String,
    /// Number of the class.
    pub class: i64,
    /// A token holds for one device.
    pub device_id: String,
}

#[derive(Serialize, Deserialize)]
struct StoredSession {
    key: SessionKey,
    state: SavedState,
}

impl Profile {
    /// The user's: `$XDG_CONFIG_HOME/aldis` or `~/.config/aldis`.
    pub fn of_user() -> anyhow::Result<Self> {
        let absolute = |name: &str| {
            std::env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute())
        };
        let base = absolute("XDG_CONFIG_HOME")
            .or_else(|| absolute("HOME").map(|home| home.join(".config")))
            .context("neither XDG_CONFIG_HOME nor HOME is set to an absolute path")?;
        Ok(Self::at(base.join("aldis")))
    }

    /// In this directory, created when something is stored.
    pub fn at(dir: PathBuf) -> Self {
        Self { dir }
    }

    /// The id of this device for one class: generated once and stored. Each class has its own, so
    /// that a token and a position never belong to two kinds of program.
    pub fn device_id(&self, class: DeviceClass) -> anyhow::Result<String> {
        let suffix = format!("{class:?}").to_lowercase();
        Ok(format!("{}-{suffix}", self.installation_id()?))
    }

    fn installation_id(&self) -> anyhow::Result<String> {
        let path = self.dir.join("device-id");
        for _ in 0..2 {
            match fs::read_to_string(&path) {
                Ok(id) if is_device_id(id.trim()) => return Ok(id.trim().to_owned()),
                Ok(_) => anyhow::bail!("{} holds no device id; remove it", path.display()),
                Err(error) if error.kind() == ErrorKind::NotFound => {}
                Err(error) => return Err(error).context(path.display().to_string()),
            }
            let mut random = [0; DEVICE_ID_BYTES];
            getrandom::fill(&mut random)?;
            let id: String = random.iter().map(|byte| format!("{byte:02x}")).collect();
            // Another process may be doing the same: the first one wins and all read its id.
            match self.create_new(&path, id.as_bytes()) {
                Err(error) if error.kind() == ErrorKind::AlreadyExists => {}
                result => result.context(path.display().to_string())?,
            }
        }
        anyhow::bail!("{} cannot be read", path.display())
    }

    /// What was kept of a session; nothing if it cannot be used.
    pub fn load(&self, key: &SessionKey) -> SavedState {
        let stored = fs::read(self.session_path(key)).ok();
        let stored = stored.and_then(|bytes| serde_json::from_slice::<StoredSession>(&bytes).ok());
        match stored {
            Some(stored) if stored.key == *key => stored.state,
            _ => SavedState::default(),
        }
    }

    /// Keeps a session's token.
    pub fn store(&self, key: &SessionKey, state: &SavedState) -> anyhow::Result<()> {
        let stored = StoredSession { key: key.clone(), state: state.clone() };
        let path = self.session_path(key);
        let bytes = serde_json::to_vec_pretty(&stored)?;
        self.replace(&path, &bytes).with_context(|| path.display().to_string())
    }

    fn session_path(&self, key: &SessionKey) -> PathBuf {
        let readable: String = format!("{}_{}", key.user, key.server)
            .chars()
            .map(|c| if c.is_alphanumeric() || matches!(c, '.' | '-') { c } else { '_' })
            .take(60)
            .collect();
        let key_text = format!("{}\n{}\n{}\n{}", key.server, key.user, key.class, key.device_id);
        let hash = aldis_client::recorder::content_hash(key_text.as_bytes());
        self.dir.join("sessions").join(format!("{readable}_{hash}.json"))
    }

    fn create_new(&self, path: &Path, bytes: &[u8]) -> io::Result<()> {
        create_private_dir(path.parent().unwrap_or(&self.dir))?;
        // Written elsewhere and linked, so that nobody reads it half written.
        let temporary = self.write_temporary(path, bytes)?;
        let result = fs::hard_link(&temporary, path);
        fs::remove_file(&temporary)?;
        result
    }

    fn replace(&self, path: &Path, bytes: &[u8]) -> io::Result<()> {
        create_private_dir(path.parent().unwrap_or(&self.dir))?;
        let temporary = self.write_temporary(path, bytes)?;
        fs::rename(&temporary, path)
    }

    fn write_temporary(&self, path: &Path, bytes: &[u8]) -> io::Result<PathBuf> {
        let mut random = [0; 8];
        getrandom::fill(&mut random).map_err(io::Error::other)?;
        let temporary = path.with_extension(format!("{:016x}.tmp", u64::from_ne_bytes(random)));
        let mut file: File =
            OpenOptions::new().write(true).create_new(true).mode(0o600).open(&temporary)?;
        file.write_all(bytes)?;
        Ok(temporary)
    }
}

fn create_private_dir(dir: &Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(dir)
}

fn is_device_id(id: &str) -> bool {
    id.len() == 2 * DEVICE_ID_BYTES && id.bytes().all(|byte| byte.is_ascii_hexdigit())
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    fn key(user: &str) -> SessionKey {
        SessionKey { server: "h:1".into(), user: user.into(), class: 3, device_id: "d".into() }
    }

    #[test]
    fn a_device_keeps_its_id() {
        let dir = tempfile::tempdir().unwrap();
        let profile = Profile::at(dir.path().join("aldis"));
        let id = profile.device_id(DeviceClass::Phone).unwrap();
        assert_eq!(profile.device_id(DeviceClass::Phone).unwrap(), id);
        assert_ne!(profile.device_id(DeviceClass::Web).unwrap(), id);
    }

    #[test]
    fn tokens_are_found_again_and_private() {
        let dir = tempfile::tempdir().unwrap();
        let profile = Profile::at(dir.path().join("aldis"));
        assert_eq!(profile.load(&key("小明")), SavedState::default());
        let state = SavedState { user_id: 7, token: "t".into(), ..Default::default() };
        profile.store(&key("小明"), &state).unwrap();
        profile.store(&key("小明"), &state).unwrap();
        assert_eq!(profile.load(&key("小明")), state);
        assert_eq!(profile.load(&key("ada")), SavedState::default());
        let path = profile.session_path(&key("小明"));
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        let parent = fs::metadata(path.parent().unwrap()).unwrap();
        assert_eq!(parent.permissions().mode() & 0o777, 0o700);
    }
}
