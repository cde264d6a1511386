//! Attempts at passwords and registrations, counted by all nodes in the same keys. Each lives as long
//! as its last attempt is remembered. Knows no connection.
//!
//! | key | counts |
//! |---|---|
//! | `im:attempts:account:{name}` | passwords of an account |
//! | `im:attempts:account:{name}:address` | those from one address |
//! | `im:attempts:address:{address}` | passwords from one address |
//! | `im:attempts:registration:{address}` | registrations from one address |
//!
//! Where Redis is away or answers nonsense nobody is slowed down by it: the node's own count holds.

use std::sync::LazyLock;

use aldis_logic::job::{AttemptJob, Verdict};
use aldis_logic::{Attempt, AttemptKey, AttemptRule, AttemptRules, Bucket, Rate};
use redis::Value;

use super::keys::{Keyed, Program, call};
use super::shards::{Reply, Shards};

/// Attempts that one node counts here: with three keys each, of some hundred bytes, a flood that lasts
/// for as long as attempts are remembered (15 minutes) takes about 40 MB of Redis' memory from each
/// node. What comes faster is counted by its node only. Right passwords leave no key, and cost the
/// same here.
const COUNTED: Rate = Rate { per_s: 100, burst: 32_768 };

/// Counts one, or says what to wait.
pub(super) static TRY: LazyLock<Program> =
    LazyLock::new(|| Program::new(include_str!("attempt.lua")));
/// Takes one back.
pub(super) static FORGIVE: LazyLock<Program> =
    LazyLock::new(|| Program::new(include_str!("forgive.lua")));

/// See the file's first line.
pub(super) struct SharedAttempts {
    rules: AttemptRules,
    counted: Bucket,
}

impl SharedAttempts {
    /// Nothing was counted yet.
    pub(super) fn new(rules: AttemptRules) -> Self {
        Self { rules, counted: Bucket::default() }
    }

    /// Counts attempts in order; a verdict on each.
    pub(super) fn count(
        &mut self,
        shards: &mut Shards,
        now_ms: u64,
        jobs: &[AttemptJob],
    ) -> Vec<Verdict> {
        let commands: Vec<Vec<Keyed>> = jobs.iter().map(|job| self.commands(now_ms, job)).collect();
        let counts: Vec<usize> = commands.iter().map(Vec::len).collect();
        let commands: Vec<Keyed> = commands.into_iter().flatten().collect();
        let mut replies = shards.exchange(now_ms, &commands).into_iter();
        let mut verdicts = Vec::with_capacity(jobs.len());
        let mut undone = Vec::new();
        for (job, count) in jobs.iter().zip(counts) {
            let replies: Vec<Reply> = replies.by_ref().take(count).collect();
            let verdict = self.verdict(&replies);
            // What must not be made does not count for anything.
            if let (Verdict::Wait(_), AttemptJob::Begin(attempt)) = (verdict, job) {
                let keys = attempt.counts(&self.rules).into_iter().zip(&replies);
                let counted = keys.filter(|(_, reply)| wait_of(reply) == Some(0));
                undone.extend(counted.map(|((key, rule), _)| self.forgive(&key, rule, false)));
            }
            verdicts.push(verdict);
        }
        shards.exchange(now_ms, &undone);
        verdicts
    }

    fn commands(&mut self, now_ms: u64, job: &AttemptJob) -> Vec<Keyed> {
        match job {
            AttemptJob::Begin(_) if self.counted.take(COUNTED, now_ms).is_err() => Vec::new(),
            AttemptJob::Begin(attempt) => self.each(attempt, |key, rule| self.attempt(key, rule)),
            AttemptJob::Forgive(attempt) => self.each(attempt, |key, rule| {
                let is_pair = matches!(key, AttemptKey::AccountFromAddress(..));
                self.forgive(key, rule, is_pair)
            }),
        }
    }

    fn each(
        &self,
        attempt: &Attempt,
        command: impl Fn(&AttemptKey, AttemptRule) -> Keyed,
    ) -> Vec<Keyed> {
        attempt.counts(&self.rules).iter().map(|(key, rule)| command(key, *rule)).collect()
    }

    fn attempt(&self, key: &AttemptKey, rule: AttemptRule) -> Keyed {
        let AttemptRules { first_delay_ms, forget_ms, .. } = self.rules;
        let numbers = [rule.free.into(), first_delay_ms, rule.delay_ms_max, forget_ms];
        let [free, first, largest, forget] = numbers.map(|number| number.to_string());
        call(&TRY, &name_of(key), &[&free, &first, &largest, &forget])
    }

    fn forgive(&self, key: &AttemptKey, rule: AttemptRule, is_whole: bool) -> Keyed {
        let rest_ms = self.rules.forget_ms.saturating_sub(rule.delay_ms_max).max(1).to_string();
        call(&FORGIVE, &name_of(key), &[if is_whole { "1" } else { "0" }, &rest_ms])
    }

    /// Of an attempt whose counts were answered so. One that is nowhere counted is nobody's business.
    fn verdict(&self, replies: &[Reply]) -> Verdict {
        let waits: Vec<Option<u64>> = replies.iter().map(wait_of).collect();
        match waits.iter().flatten().max() {
            Some(0) if waits.iter().all(Option::is_some) => Verdict::Counted,
            Some(0) | None => Verdict::Unknown,
            Some(wait_ms) => {
                let wait_ms = *wait_ms.min(&self.rules.delay_ms_max());
                Verdict::Wait(u32::try_from(wait_ms).unwrap_or(u32::MAX))
            }
        }
    }
}

/// What an answer says; nothing if it is none.
fn wait_of(reply: &Reply) -> Option<u64> {
    match reply {
        Reply::Value(Value::Int(wait_ms)) => u64::try_from(*wait_ms).ok(),
        _ => None,
    }
}

/// The braces are part of the name: what is between them decides on the server.
fn name_of(key: &AttemptKey) -> String {
    match key {
        AttemptKey::AccountFromAddress(account, address) => {
            format!("im:attempts:account:{{{account}}}:{address}")
        }
        AttemptKey::Account(account) => format!("im:attempts:account:{{{account}}}"),
        AttemptKey::Address(address) => format!("im:attempts:address:{{{address}}}"),
        AttemptKey::Registration(address) => format!("im:attempts:registration:{{{address}}}"),
    }
}
