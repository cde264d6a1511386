//! The file of users to act as: `user_id<TAB>username<TAB>token`, one line each. Knows nothing else.

use std::path::Path;

use anyhow::{Context, Result, bail, ensure};

/// A user who can log in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct User {
    /// As the server numbers them.
    pub id: u64,
    /// For LOGIN.
    pub token: String,
}

/// Reads the first `wanted` users of the file; fewer are an error. An error names the line.
pub fn read(path: &Path, wanted: usize) -> Result<Vec<User>> {
    let users = read_some(path, wanted)?;
    ensure!(
        users.len() == wanted,
        "{} has {} users, {wanted} are needed: aldisd admin seed-users --count {wanted} \
         --tokens FILE",
        path.display(),
        users.len()
    );
    Ok(users)
}

/// Reads the first `most` users of the file, or as many as it has.
pub fn read_some(path: &Path, most: usize) -> Result<Vec<User>> {
    let text = std::fs::read_to_string(path)
        .with_context(|| format!("cannot read the tokens file {}", path.display()))?;
    parse(&text, most).with_context(|| format!("in {}", path.display()))
}

fn parse(text: &str, most: usize) -> Result<Vec<User>> {
    let mut users = Vec::new();
    for (number, line) in text.lines().enumerate().filter(|(_, line)| !line.is_empty()) {
        if users.len() == most {
            break;
        }
        let mut parts = line.split('\t');
        let (Some(id), Some(_name), Some(token)) = (parts.next(), parts.next(), parts.next())
        else {
            bail!("line {}: expected user_id<TAB>username<TAB>token", number + 1);
        };
        let id = id.parse().with_context(|| format!("line {}: user_id", number + 1))?;
        users.push(User { id, token: token.to_owned() });
    }
    Ok(users)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn users_are_read_in_order_and_no_more_than_wanted() {
        let users = parse("10001\ta\tt1\n\n10002\tb\tt2\n10003\tc\tt3\n", 2).unwrap();
        assert_eq!(users.iter().map(|user| user.id).collect::<Vec<_>>(), [10_001, 10_002]);
        assert_eq!(users[1].token, "t2");
    }

    #[test]
    fn a_bad_line_is_named() {
        assert!(format!("{:#}", parse("10001\ta\tt\nx\tb\tt", 2).unwrap_err()).contains("line 2"));
        assert!(parse("10001 a t", 1).is_err());
        assert_eq!(parse("10001\ta\tt", 2).unwrap().len(), 1);
    }
}
