//! What several invariants need of a history, derived once: sends by message, entries by mailbox
//! position, final syncs, memberships. Judges nothing but whether the history can be judged.

use std::collections::{BTreeMap, HashMap};

use aldis_wire::UserId;

use crate::edits::Edits;
use crate::findings::Findings;
use crate::history::{History, LineRef};
use crate::membership::Membership;
use crate::model::{Ack, Attempt, Outcome, Seen, SendKey, Span, Sync, Value, ValueId};

/// All tries of one message, in order of their start.
#[derive(Debug, Default)]
pub struct Tries {
    /// Indices of attempts.
    pub attempts: Vec<usize>,
}

/// One entry of a mailbox and where it was first seen.
#[derive(Clone, Copy, Debug)]
pub struct Observed {
    /// What.
    pub value: ValueId,
    /// Where it is written.
    pub line: LineRef,
}

/// What a client was shown: by push, by sync, by history.
#[derive(Clone, Copy, Debug)]
pub struct View<'a> {
    /// When.
    pub span: Span,
    /// Who.
    pub reader: UserId,
    /// Its entries have the reader's seqs.
    pub is_mailbox: bool,
    /// What.
    pub entries: &'a [Seen],
}

/// A reader's last word: pages that follow each other to the end of the mailbox.
#[derive(Clone, Debug)]
pub struct FinalSync {
    /// Start of its first page, ns.
    pub start_ns: u64,
    /// Above this seq it holds everything.
    pub after: u64,
    /// Indices of syncs.
    pub pages: Vec<usize>,
}

/// A history with what follows from it.
pub struct Facts<'a> {
    /// The rows.
    pub history: &'a History,
    /// Tries by message.
    pub sends: BTreeMap<SendKey, Tries>,
    /// Entries by owner and seq: the first observation of each.
    pub mailboxes: HashMap<UserId, BTreeMap<u64, Observed>>,
    /// The last complete final sync of each user.
    pub final_syncs: HashMap<UserId, FinalSync>,
    /// Who was where.
    pub membership: Membership,
    /// What was made to say something else.
    pub edits: Edits,
}

impl<'a> Facts<'a> {
    /// Derives them, and notes why the history might not be enough.
    pub fn of(history: &'a History, findings: &mut Findings) -> Self {
        let mut facts = Self {
            history,
            sends: BTreeMap::new(),
            mailboxes: HashMap::new(),
            final_syncs: HashMap::new(),
            membership: Membership::of(history),
            edits: Edits::of(history),
        };
        for (index, attempt) in history.attempts.iter().enumerate() {
            facts.sends.entry(attempt.key).or_default().attempts.push(index);
        }
        facts.collect_mailboxes();
        facts.collect_final_syncs();
        facts.doubt(findings);
        facts
    }

    fn collect_mailboxes(&mut self) {
        let mut mailboxes: HashMap<UserId, BTreeMap<u64, Observed>> = HashMap::new();
        for view in self.views().filter(|view| view.is_mailbox) {
            let mailbox = mailboxes.entry(view.reader).or_default();
            for seen in view.entries {
                let line = view.span.completion;
                mailbox.entry(seen.seq).or_insert(Observed { value: seen.value, line });
            }
        }
        self.mailboxes = mailboxes;
    }

    /// Pages of one process that continue each other; a page that does not begins anew.
    fn collect_final_syncs(&mut self) {
        let mut open: HashMap<(u32, UserId), FinalSync> = HashMap::new();
        for (index, page) in self.history.syncs.iter().enumerate() {
            if !page.is_final || page.stream != 0 {
                continue;
            }
            let key = (page.span.process, page.user);
            let continued = open.remove(&key).filter(|chain| {
                chain
                    .pages
                    .last()
                    .is_some_and(|last| page_end(&self.history.syncs[*last]) == page.after)
            });
            let start_ns = page.span.start_ns;
            let mut chain =
                continued.unwrap_or(FinalSync { start_ns, after: page.after, pages: vec![] });
            chain.pages.push(index);
            if page.more {
                open.insert(key, chain);
            } else {
                self.final_syncs.insert(page.user, chain);
            }
        }
    }

    fn doubt(&self, findings: &mut Findings) {
        for problem in &self.history.problems {
            findings.doubt(|| match problem.line {
                Some(line) => format!("{}: {}", self.history.locate(line), problem.what),
                None => problem.what.clone(),
            });
        }
        if self.history.attempts.is_empty() && self.views().next().is_none() {
            findings.doubt(|| "nothing was sent and nothing was read".to_owned());
        }
        let mut epochs: Vec<u64> =
            self.history.logins.iter().map(|login| login.store_epoch).collect();
        epochs.sort_unstable();
        epochs.dedup();
        if epochs.len() > 1 {
            findings
                .doubt(|| format!("the store changed during the run: its epochs were {epochs:?}"));
        }
    }

    /// The row of an entry.
    pub fn value(&self, id: ValueId) -> &'a Value {
        self.history.value(id)
    }

    /// Everything that any client was shown.
    pub fn views(&self) -> impl Iterator<Item = View<'a>> + use<'a> {
        let history = self.history;
        let pushes = history.pushes.iter().map(|push| View {
            span: push.span,
            reader: push.user,
            is_mailbox: push.stream == 0,
            entries: &push.entries,
        });
        let syncs = history.syncs.iter().map(|sync| View {
            span: sync.span,
            reader: sync.user,
            is_mailbox: sync.stream == 0,
            entries: &sync.entries,
        });
        let reads = history.histories.iter().map(|read| View {
            span: read.span,
            reader: read.reader,
            is_mailbox: false,
            entries: &read.entries,
        });
        pushes.chain(syncs).chain(reads)
    }

    /// The acknowledgements of a message.
    pub fn acks<'b>(&'b self, tries: &'b Tries) -> impl Iterator<Item = (&'a Attempt, Ack)> + 'b {
        let attempts = tries.attempts.iter().map(|index| &self.history.attempts[*index]);
        attempts.filter_map(|attempt| match attempt.outcome {
            Outcome::Ok(ack) => Some((attempt, ack)),
            _ => None,
        })
    }
}

/// The last seq of a page, or where it began if it is empty.
pub fn page_end(page: &Sync) -> u64 {
    page.entries.last().map_or(page.after.max(page.skipped_to), |seen| seen.seq)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Verdict;

    const SYNC: &str = r#"{"run":"r","t_ns":T0,"process":"p","op":"sync","phase":"invoke","id":ID,
        "args":{"user":1,"stream":0,"after":AFTER,"limit":0,"final":true}}
{"run":"r","t_ns":T1,"process":"p","op":"sync","phase":"ok","id":ID,
        "result":{"entries":[ENTRY],"head":2,"more":MORE}}"#;

    fn page(id: u64, after: u64, more: bool) -> String {
        let entry = format!(
            r#"{{"seq":{},"msg_id":{id},"conv":[1,2],"conv_seq":{id},"sender":2,
            "client_msg_id":"{id:032x}","kind":1,"hash":"0"}}"#,
            after + 1
        );
        let text = SYNC.replace("ID", &id.to_string()).replace("AFTER", &after.to_string());
        let text =
            text.replace("T0", &(id * 10).to_string()).replace("T1", &(id * 10 + 1).to_string());
        let text = text.replace("ENTRY", &entry).replace("MORE", &more.to_string());
        let (invoke, ok) = text.split_once("}}\n").unwrap();
        format!("{}}}}}\n{}\n", invoke.replace('\n', ""), ok.replace('\n', ""))
    }

    #[test]
    fn final_pages_that_follow_each_other_are_one_sync() {
        let text = page(1, 0, true) + &page(2, 1, false);
        let history = History::parse("h", &text);
        assert_eq!(history.problems(), []);
        let facts = Facts::of(&history, &mut Findings::default());
        let chain = &facts.final_syncs[&UserId(1)];
        assert_eq!((chain.after, chain.pages.as_slice()), (0, &[0, 1][..]));
        assert_eq!(facts.mailboxes[&UserId(1)].len(), 2);

        let text = page(1, 0, true) + &page(2, 5, false);
        let history = History::parse("h", &text);
        let facts = Facts::of(&history, &mut Findings::default());
        assert_eq!(facts.final_syncs[&UserId(1)].after, 5);
        let history = History::parse("h", &page(1, 0, true));
        assert!(Facts::of(&history, &mut Findings::default()).final_syncs.is_empty());
    }

    #[test]
    fn nothing_and_broken_lines_cannot_be_judged() {
        assert!(matches!(crate::check(&History::parse("h", "")), Verdict::Unknown(_)));
        let Verdict::Unknown(why) = crate::check(&History::parse("h", "{\"run\":")) else {
            panic!("a torn line is no judgement");
        };
        assert!(why.iter().any(|why| why.starts_with("h:1: ")), "{why:?}");
    }
}
