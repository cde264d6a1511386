//! SEARCH: hits are what a reader could find by reading everything, with an index or without, and a
//! page ends by hits, bytes or work.

use aldis_logic::job::{
    GroupChange, GroupJob, GroupUpdate, IndexBlock, MessageChange, MessageJob, ReadJob, ReadResult,
    SearchMessages, SearchPage, WriteJob, Written,
};
use aldis_logic::search::SearchQuery;
use aldis_wire::limits::{EDIT_MS_MAX, PAGE_BYTES_MAX};
use aldis_wire::{ConvSeq, ConversationKey, GroupId, RequestId, UserId, pb};
use bytes::Bytes;

use crate::harness::{Bench, append, direct, on_every_backend};

/// After this nothing can be edited any more, whatever the clocks of nodes say.
const FINAL_MS: u64 = EDIT_MS_MAX + 3 * 3_600_000;

/// A search that the tests vary.
#[derive(Clone)]
pub struct Ask {
    pub user: UserId,
    pub conversation: Option<ConversationKey>,
    pub limit: usize,
    /// Of the search; writers' clocks stand.
    pub age_ms: u64,
}

impl Ask {
    pub fn of(user: UserId) -> Self {
        Self { user, conversation: None, limit: 20, age_ms: 0 }
    }

    /// Long after everything was said, or at once.
    pub fn aged(user: UserId, is_old: bool) -> Self {
        Self { age_ms: if is_old { FINAL_MS } else { 0 }, ..Self::of(user) }
    }

    pub fn page(&self, bench: &mut Bench, query: &str, cursor: u64) -> SearchPage {
        let job = SearchMessages {
            user: self.user,
            query: SearchQuery::parse(query).unwrap(),
            conversation: self.conversation,
            cursor,
            limit: self.limit,
            now_ms: bench.now_ms + self.age_ms,
        };
        match bench.read(ReadJob::SearchMessages(job)) {
            Ok(ReadResult::SearchedMessages(page)) => page,
            other => panic!("{other:?}"),
        }
    }

    /// All hits, newest first; what is found missing of the index is stored on the way.
    pub fn all(&self, bench: &mut Bench, query: &str) -> Vec<u64> {
        let (mut hits, mut cursor) = (Vec::new(), 0);
        loop {
            let page = self.page(bench, query, cursor);
            assert!(page.entries.len() <= self.limit);
            hits.extend(page.entries.iter().map(|(seq, _)| seq.0));
            if !page.blocks.is_empty() {
                store(bench, self.user, page.blocks);
            }
            if page.cursor == 0 {
                return hits;
            }
            assert_ne!(page.cursor, cursor, "it goes on");
            cursor = page.cursor;
        }
    }

    /// The same by reading everything.
    pub fn naive(&self, bench: &mut Bench, query: &str) -> Vec<u64> {
        let query = SearchQuery::parse(query).unwrap();
        let mailbox = bench.mailbox(self.user);
        let hits = (1..).zip(&mailbox).filter(|(_, entry)| {
            entry.kind == pb::MsgType::Text
                && self.conversation.is_none_or(|key| key == entry.conversation)
                && query.matches(std::str::from_utf8(&entry.content).unwrap())
        });
        let mut hits: Vec<u64> = hits.map(|(seq, _)| seq).collect();
        hits.reverse();
        hits
    }
}

fn store(bench: &mut Bench, user: UserId, blocks: Vec<IndexBlock>) {
    let job = WriteJob::StoreIndex { user, blocks };
    assert_eq!(bench.run(job), Ok(Written::IndexStored));
}

fn texts(bench: &mut Bench, user: UserId, query: &str) -> Vec<String> {
    let page = Ask::of(user).page(bench, query, 0);
    let text = |entry: &Bytes| String::from_utf8(entry.to_vec()).unwrap();
    page.entries.iter().map(|(_, entry)| text(&entry.content)).collect()
}

pub fn recall(actor: UserId, conversation: ConversationKey, at: ConvSeq) -> WriteJob {
    let change = MessageChange::Recall { within_ms: u64::MAX };
    WriteJob::Message(MessageJob { actor, conversation, conv_seq: at, change })
}

pub fn edit(actor: UserId, key: ConversationKey, at: ConvSeq, id: u64, text: &str) -> WriteJob {
    let mut request_id = [7; 16];
    request_id[..8].copy_from_slice(&id.to_be_bytes());
    let change = MessageChange::Edit {
        request_id: RequestId(request_id),
        content: Bytes::from(text.to_owned()),
        extra: Bytes::new(),
        within_ms: u64::MAX,
        friends_only: false,
    };
    WriteJob::Message(MessageJob { actor, conversation: key, conv_seq: at, change })
}

/// Many messages at once.
pub fn fill(bench: &mut Bench, key: ConversationKey, sender: UserId, texts: &[String]) {
    for texts in texts.chunks(500) {
        let jobs = texts.iter().map(|text| append(key, sender, bench.fresh_id(), text));
        let jobs: Vec<WriteJob> = jobs.collect();
        assert!(bench.batch(jobs).results.iter().all(Result::is_ok));
    }
}

#[test]
fn the_newest_hit_comes_first_and_only_to_those_who_can_read_it() {
    on_every_backend(|bench| {
        let users = bench.users(3);
        let (ada, ben, cat) = (users[0], users[1], users[2]);
        for text in ["Good morning", "今天天气很好", "GOOD evening", "bad weather"] {
            bench.send(direct(ada, ben), ada, text).unwrap();
        }
        bench.send(direct(ada, cat), cat, "good night").unwrap();
        assert_eq!(texts(bench, ben, "good"), ["GOOD evening", "Good morning"]);
        assert_eq!(texts(bench, ada, "good"), ["good night", "GOOD evening", "Good morning"]);
        assert_eq!(texts(bench, ada, "天气"), ["今天天气很好"]);
        assert_eq!(texts(bench, ada, "天"), ["今天天气很好"]);
        assert_eq!(texts(bench, cat, "天气"), [""; 0]);
        assert_eq!(texts(bench, UserId(u64::MAX), "天气"), [""; 0]);
        let scoped = Ask { conversation: Some(direct(ada, ben)), ..Ask::of(ada) };
        assert_eq!(scoped.all(bench, "good"), [3, 1]);
        let stranger = Ask { conversation: Some(direct(ada, ben)), ..Ask::of(cat) };
        assert_eq!(stranger.all(bench, "good"), [0; 0]);
    });
}

#[test]
fn what_was_recalled_is_not_found_and_an_edit_is_found_as_it_is_now() {
    on_every_backend(|bench| {
        let users = bench.users(2);
        let (ada, ben) = (users[0], users[1]);
        let key = direct(ada, ben);
        for number in 0..200 {
            bench.send(key, ada, &format!("number n{number} apple")).unwrap();
        }
        let young = Ask::of(ben);
        let old = Ask { age_ms: FINAL_MS, ..Ask::of(ben) };
        bench.run(edit(ada, key, ConvSeq(3), 1, "cherry")).unwrap();
        let twenties: Vec<u64> = (21..=30).rev().collect();
        for ask in [&young, &old, &old] {
            assert_eq!(ask.all(bench, "cherry"), [3], "the new text");
            assert_eq!(ask.all(bench, "n2"), twenties, "the third one says something else now");
        }
        assert!(old.page(bench, "n100", 0).blocks.is_empty(), "it is indexed by now");
        for at in [3, 50] {
            bench.run(recall(ada, key, ConvSeq(at))).unwrap();
        }
        for ask in [&young, &old] {
            assert_eq!(ask.all(bench, "cherry"), [0; 0]);
            assert_eq!(ask.all(bench, "n49"), [0; 0]);
            assert_eq!(ask.all(bench, "n48"), [49]);
        }
    });
}

#[test]
fn only_what_can_no_longer_be_edited_is_indexed() {
    on_every_backend(|bench| {
        let users = bench.users(2);
        let key = direct(users[0], users[1]);
        let all: Vec<String> = (0..200).map(|n| format!("text n{n}")).collect();
        fill(bench, key, users[0], &all);
        for (age_ms, count) in [(0, 0), (EDIT_MS_MAX, 0), (FINAL_MS, 3)] {
            let ask = Ask { age_ms, ..Ask::of(users[0]) };
            assert_eq!(ask.page(bench, "nothing", 0).blocks.len(), count, "{age_ms}");
        }
        // What another program or a fault left there counts as missing.
        let ask = Ask { age_ms: FINAL_MS, ..Ask::of(users[0]) };
        let good = ask.page(bench, "nothing", 0).blocks;
        let mut bad = good.clone();
        bad[0].data = Bytes::new();
        bad[1].data = Bytes::from_static(b"\x02other");
        bad[2].data = bad[2].data.slice(..100);
        store(bench, users[0], bad);
        assert_eq!(ask.page(bench, "n42", 0).entries.len(), 1);
        assert_eq!(ask.page(bench, "nothing", 0).blocks, good);
        store(bench, users[0], good);
        assert_eq!(ask.page(bench, "nothing", 0).blocks, []);
        assert_eq!(ask.all(bench, "n42"), [43]);
        assert_eq!(ask.all(bench, "text").len(), 200);
        assert_eq!(ask.all(bench, "t").len(), 200, "of one letter the index knows nothing");
    });
}

#[test]
fn a_stay_in_a_group_is_searched_and_nothing_before_or_after_it() {
    on_every_backend(|bench| {
        let users = bench.users(3);
        let (owner, ben, cat) = (users[0], users[1], users[2]);
        let group = bench.group(owner, &[ben]);
        let key = ConversationKey::group(group);
        let say = |bench: &mut Bench, text: &str| _ = bench.send(key, owner, text).unwrap();
        say(bench, "secret one");
        invite(bench, owner, group, cat);
        say(bench, "secret two");
        bench.run(WriteJob::LeaveGroup { user: cat, group }).unwrap();
        say(bench, "secret three");
        assert_eq!(texts(bench, cat, "secret"), ["secret two"], "also after leaving");
        invite(bench, owner, group, cat);
        say(bench, "secret four");
        assert_eq!(texts(bench, cat, "secret"), ["secret four", "secret two"]);
        change(bench, owner, group, GroupChange::Remove { users: vec![ben] });
        say(bench, "secret five");
        let seen = ["secret four", "secret three", "secret two", "secret one"];
        assert_eq!(texts(bench, ben, "secret"), seen);
        change(bench, owner, group, GroupChange::Dissolve);
        assert_eq!(texts(bench, cat, "secret five"), ["secret five"], "as HISTORY has it");
        let ask = Ask { conversation: Some(key), ..Ask::of(ben) };
        assert_eq!(ask.all(bench, "secret").len(), 4);
    });
}

fn invite(bench: &mut Bench, actor: UserId, group: GroupId, user: UserId) {
    bench
        .run(WriteJob::InviteMembers {
            actor,
            group,
            members: vec![user],
            limits: Default::default(),
        })
        .unwrap();
}

fn change(bench: &mut Bench, actor: UserId, group: GroupId, change: GroupChange) {
    bench
        .run(WriteJob::Group(GroupJob { actor, group, change, limits: Default::default() }))
        .unwrap();
}

#[test]
fn the_work_of_a_request_is_bounded_and_the_pages_meet() {
    on_every_backend(|bench| {
        let users = bench.users(2);
        let (ada, ben) = (users[0], users[1]);
        let key = direct(ada, ben);
        bench.send(key, ada, "the needle").unwrap();
        let hay: Vec<String> = (0..3_000).map(|n| format!("hay {n}")).collect();
        fill(bench, key, ada, &hay);
        let ask = Ask { age_ms: FINAL_MS, ..Ask::of(ada) };
        let page = ask.page(bench, "needle", 0);
        // 2,048 texts, but the last block is read to its end.
        assert_eq!((page.entries.len(), page.blocks.len()), (0, 32));
        assert!(page.cursor > 0);
        assert_eq!(ask.all(bench, "needle"), [1]);
        let page = ask.page(bench, "needle", 0);
        assert_eq!((page.entries.len(), page.cursor), (1, 0), "one request, once it is indexed");
        let few = Ask { limit: 7, ..ask.clone() };
        assert_eq!(few.all(bench, "hay 29"), ask.naive(bench, "hay 29"));
        for before in [1, 2, 64, 65, 66, 3_001, 3_002, u64::from(u32::MAX)] {
            let want = ask.naive(bench, "hay").into_iter().find(|&seq| seq < before);
            let page = ask.page(bench, "hay", before);
            assert_eq!(page.entries.first().map(|(seq, _)| seq.0), want, "before {before}");
        }
    });
}

#[test]
fn a_page_ends_by_bytes_but_holds_one_hit() {
    on_every_backend(|bench| {
        let users = bench.users(2);
        let key = direct(users[0], users[1]);
        let big = format!("big {}", "x".repeat(PAGE_BYTES_MAX / 3));
        // More different units than a block holds of an entry.
        let many: String = ('\u{4E00}'..'\u{6000}').collect();
        for text in [
            &big,
            &big,
            &big,
            &format!("big {many}"),
            &format!("big {}", "y".repeat(PAGE_BYTES_MAX)),
        ] {
            bench.send(key, users[0], text).unwrap();
        }
        fill(bench, key, users[0], &vec!["small".to_owned(); 100]);
        let ask = Ask { age_ms: FINAL_MS, ..Ask::of(users[0]) };
        for _ in 0..2 {
            let page = ask.page(bench, "big", 0);
            assert_eq!(page.entries.len(), 1);
            assert_eq!(ask.all(bench, "big"), [5, 4, 3, 2, 1]);
            assert_eq!(ask.all(bench, "\u{4E01}\u{4E02}"), [4]);
        }
    });
}

#[test]
fn friends_and_groups_are_found_by_their_names() {
    on_every_backend(|bench| {
        let users = bench.users(4);
        let (ada, ben, cat) = (users[0], users[1], users[2]);
        for other in [ben, cat] {
            befriend(bench, ada, other);
        }
        let update = aldis_logic::job::FriendChange::Update {
            remark: "小明 from work".into(),
            folder: String::new(),
        };
        friend(bench, ada, cat, update);
        assert_eq!(names(bench, ada, true, "u-000"), ids(&[ben, cat]));
        assert_eq!(names(bench, ada, true, "明"), ids(&[cat]));
        assert_eq!(names(bench, ada, true, "work u"), ids(&[cat]));
        assert_eq!(names(bench, cat, true, "u"), ids(&[ada]));
        assert_eq!(names(bench, users[3], true, "u"), ids(&[]), "strangers are not found");
        let first = bench.group(ada, &[ben]);
        let second = bench.group(ada, &[cat]);
        let name = Some("北京 friends".to_owned());
        let update = GroupChange::Update(GroupUpdate { name, ..GroupUpdate::default() });
        change(bench, ada, second, update);
        assert_eq!(names(bench, ada, false, "group"), [first.0]);
        assert_eq!(names(bench, ada, false, "京"), [second.0]);
        assert_eq!(names(bench, ben, false, "京"), [0; 0], "not a member");
        bench.run(WriteJob::LeaveGroup { user: ben, group: first }).unwrap();
        assert_eq!(names(bench, ben, false, "group"), [0; 0], "no member any more");
    });
}

fn ids(users: &[UserId]) -> Vec<u64> {
    users.iter().map(|user| user.0).collect()
}

/// All hits, by pages of one.
fn names(bench: &mut Bench, user: UserId, of_friends: bool, query: &str) -> Vec<u64> {
    use aldis_logic::job::SearchNames;
    let names = if of_friends { SearchNames::Friends } else { SearchNames::Groups };
    let query = SearchQuery::parse(query).unwrap();
    let (mut found, mut after) = (Vec::new(), 0);
    loop {
        let query = query.clone();
        let job = ReadJob::SearchNames { user, names, query, after, limit: 1 };
        let page = match bench.read(job) {
            Ok(ReadResult::SearchedNames(page)) => page,
            other => panic!("{other:?}"),
        };
        assert!(page.users.len() + page.groups.len() <= 1);
        found.extend(page.users.iter().map(|user| user.user_id));
        found.extend(page.groups.iter().map(|group| group.group_id));
        if page.cursor == 0 {
            return found;
        }
        assert!(page.cursor > after);
        after = page.cursor;
    }
}

fn befriend(bench: &mut Bench, a: UserId, b: UserId) {
    use aldis_logic::job::FriendChange::{Accept, Apply};
    friend(bench, a, b, Apply { reason: String::new() });
    friend(bench, b, a, Accept);
}

fn friend(bench: &mut Bench, actor: UserId, other: UserId, change: aldis_logic::job::FriendChange) {
    use aldis_logic::job::FriendJob;
    bench.run(WriteJob::Friend(FriendJob { actor, other, change })).unwrap();
}
