//! Private MariaDB and Redis servers for tests: free ports, directories of their own, gone at the
//! end. Knows nothing of Aldis.

mod mariadb;
mod program;

pub use mariadb::{MariaDb, MariaDbOptions};
