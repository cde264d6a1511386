//! USER_FIND: how nicknames are compared, and which of those who are found come first. Knows no backend.

use std::collections::HashSet;

use aldis_wire::name::fold;
use aldis_wire::pb;

/// Characters of a nickname that are compared: a query has at most so many bytes.
const KEY_CHARS_MAX: usize = aldis_wire::limits::USERNAME_BYTES_MAX;

/// What a nickname is found by.
pub(crate) fn nick_key(nickname: &str) -> String {
    fold(nickname).chars().take(KEY_CHARS_MAX).collect()
}

/// Whose usernames begin so comes before whose nicknames do; each once.
pub(crate) fn merged(
    by_username: Vec<pb::UserInfo>,
    by_nickname: Vec<pb::UserInfo>,
    limit: usize,
) -> Vec<pb::UserInfo> {
    let mut seen = HashSet::new();
    let all = by_username.into_iter().chain(by_nickname);
    all.filter(|user| seen.insert(user.user_id)).take(limit).collect()
}
