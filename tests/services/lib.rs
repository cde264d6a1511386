//! Private MariaDB and Redis servers for tests: free ports, directories of their own, gone at the
//! end. Knows nothing of Aldis.

mod mariadb;
mod program;
mod redis;
mod replica;

pub use mariadb::{MariaDb, MariaDbOptions};
pub use program::{find, run_after_exit};
pub use redis::{Redis, RedisCluster};
pub use replica::Replicated;
