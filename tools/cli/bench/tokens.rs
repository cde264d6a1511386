//! The file of users to act as, one line each, fields separated by tabs: user id, username, token,
//! and the device id and class that the token was given to. Knows nothing else.

use std::path::Path;

use anyhow::{Context, Result, bail};

use super::args::require;

/// A user who can log in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct User {
    /// As the server numbers them.
    pub id: u64,
    /// The account's name.
    pub name: String,
    /// For LOGIN.
    pub token: String,
    /// The device that the token logs in.
    pub device_id: String,
    /// The class that the token logs in.
    pub device_class: i32,
}

/// Reads the first `wanted` users of the file; fewer are an error. An error names the line.
pub fn read(path: &Path, wanted: usize) -> Result<Vec<User>> {
    let text = std::fs::read_to_string(path)
        .with_context(|| format!("cannot read the tokens file {}", path.display()))?;
    let users = parse(&text, wanted).with_context(|| format!("in {}", path.display()))?;
    require(users.len() == wanted, || {
        format!(
            "{} has {} users, {wanted} are needed: aldisd admin seed-users --count {wanted} \
             --tokens FILE makes them",
            path.display(),
            users.len()
        )
    })?;
    Ok(users)
}

fn parse(text: &str, most: usize) -> Result<Vec<User>> {
    let mut users = Vec::new();
    for (number, line) in text.lines().enumerate().filter(|(_, line)| !line.is_empty()) {
        if users.len() == most {
            break;
        }
        let fields: Vec<&str> = line.split('\t').collect();
        let [id, name, token, device_id, device_class] = fields[..] else {
            bail!("line {}: expected user id, username, token, device id, class", number + 1);
        };
        let id = id.parse().with_context(|| format!("line {}: user id", number + 1))?;
        let device_class =
            device_class.parse().with_context(|| format!("line {}: class", number + 1))?;
        let [name, token, device_id] = [name, token, device_id].map(str::to_owned);
        users.push(User { id, name, token, device_id, device_class });
    }
    Ok(users)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn users_are_read_in_order_and_no_more_than_wanted() {
        let users =
            parse("10001\ta\tt1\td\t5\n\n10002\tb\tt2\td\t5\n10003\tc\tt3\td\t5\n", 2).unwrap();
        assert_eq!(users.iter().map(|user| user.id).collect::<Vec<_>>(), [10_001, 10_002]);
        assert_eq!((users[1].name.as_str(), users[1].token.as_str()), ("b", "t2"));
    }

    #[test]
    fn a_bad_line_is_named() {
        assert!(
            format!("{:#}", parse("10001\ta\tt\td\t5\nx\tb\tt\td\t5", 2).unwrap_err())
                .contains("line 2")
        );
        assert!(parse("10001 a t", 1).is_err());
        assert_eq!(parse("10001\ta\tt\td\t5", 2).unwrap().len(), 1);
    }
}
