//! Measures the checker on a valid history of a busy server: `cargo run --release -p aldis-check
//! --example large -- [LINES]` prints how long reading and judging take, and the memory.

use std::fmt::Write as _;
use std::time::Instant;

use aldis_check::{History, check};

/// Users who all talk to each other.
const USERS: u64 = 50;
/// Entries of a page.
const PAGE: usize = 200;
/// Messages between two pages of the same reader.
const MESSAGES_PER_PAGE: u64 = 64;

/// The text of a history, and what its server holds.
#[derive(Default)]
struct World {
    text: String,
    lines: usize,
    now_ns: u64,
    conversations: std::collections::HashMap<(u64, u64), u64>,
    mailboxes: Vec<Vec<String>>,
}

impl World {
    fn line(&mut self, process: u64, op: &str, phase: &str, id: u64, rest: &str) {
        self.now_ns += 1_000;
        self.lines += 1;
        let t_ns = self.now_ns;
        writeln!(
            self.text,
            r#"{{"run":"large","seed":1,"t_ns":{t_ns},"process":"p{process}","node":"n","op":"{op}","phase":"{phase}","id":{id},{rest}}}"#
        )
        .expect("a string takes it");
    }

    /// One message between two users: sent, acknowledged, pushed.
    fn message(&mut self, number: u64) {
        let (sender, receiver) = (number % USERS, (number * 7 + number / USERS + 1) % USERS);
        if sender == receiver {
            return;
        }
        let conv = (sender.min(receiver), sender.max(receiver));
        let conv_seq = self.conversations.entry(conv).or_default();
        *conv_seq += 1;
        let (conv_seq, lo, hi) = (*conv_seq, conv.0 + 1, conv.1 + 1);
        let body = format!(
            r#""conv":[{lo},{hi}],"sender":{},"client_msg_id":"{number:032x}","kind":1,"hash":"{number:016x}""#,
            sender + 1
        );
        for user in [conv.0, conv.1] {
            let mailbox = &mut self.mailboxes[user as usize];
            let seq = mailbox.len() + 1;
            mailbox.push(format!(
                r#"{{"seq":{seq},"msg_id":{},"conv_seq":{conv_seq},{body}}}"#,
                number + 1
            ));
        }
        let seq = self.mailboxes[sender as usize].len();
        self.line(sender, "send", "invoke", number * 4, &format!(r#""args":{{{body}}}"#));
        let result =
            format!(r#""result":{{"msg_id":{},"seq":{seq},"conv_seq":{conv_seq}}}"#, number + 1);
        self.line(sender, "send", "ok", number * 4, &result);
        let mailbox = &self.mailboxes[receiver as usize];
        let push = format!(
            r#""args":{{"user":{}}},"result":{{"head":{},"entries":[{}]}}"#,
            receiver + 1,
            mailbox.len(),
            mailbox.last().expect("it was just put there")
        );
        self.line(receiver, "push", "ok", number * 4 + 1, &push);
    }

    fn sync(&mut self, user: u64, after: usize, is_final: bool, id: u64) -> usize {
        let args = format!(r#""args":{{"user":{},"after":{after},"final":{is_final}}}"#, user + 1);
        self.line(user + USERS, "sync", "invoke", id, &args);
        let mailbox = &self.mailboxes[user as usize];
        let end = (after + PAGE).min(mailbox.len());
        let result = format!(
            r#""result":{{"head":{},"more":{},"entries":[{}]}}"#,
            mailbox.len(),
            end < mailbox.len(),
            mailbox[after..end].join(",")
        );
        self.line(user + USERS, "sync", "ok", id, &result);
        end
    }
}

fn main() {
    let lines: usize = std::env::args().nth(1).map_or(500_000, |n| n.parse().expect("a number"));
    let mut world = World { mailboxes: vec![Vec::new(); USERS as usize], ..World::default() };
    let mut cursors = vec![0; USERS as usize];
    let mut number = 0;
    while world.lines < lines {
        number += 1;
        world.message(number);
        if number % MESSAGES_PER_PAGE == 0 {
            let user = number / MESSAGES_PER_PAGE % USERS;
            cursors[user as usize] =
                world.sync(user, cursors[user as usize], false, number * 4 + 2);
        }
    }
    for user in 0..USERS {
        let mut after = 0;
        while after < world.mailboxes[user as usize].len() {
            number += 1;
            after = world.sync(user, after, true, number * 4 + 2);
        }
    }
    let World { text, lines, mailboxes, .. } = world;
    drop(mailboxes);
    println!("{lines} lines, {} MB", text.len() >> 20);
    let resident = || {
        let status = std::fs::read_to_string("/proc/self/status").expect("Linux");
        let line = status.lines().find(|line| line.starts_with("VmRSS:")).expect("it is there");
        line.split_whitespace().nth(1).and_then(|kib| kib.parse::<u64>().ok()).expect("KiB") >> 10
    };
    let (before_mib, began) = (resident(), Instant::now());
    let history = History::parse("large", &text);
    println!(
        "read in {:?}, {} MiB: {:?}",
        began.elapsed(),
        resident() - before_mib,
        history.summary()
    );
    let began = Instant::now();
    let verdict = check(&history);
    println!("judged in {:?}, {} MiB: {verdict:?}", began.elapsed(), resident() - before_mib);
}
