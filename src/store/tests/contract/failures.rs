//! What fails alone, what fails together, and what is left of it: nothing.

use aldis_logic::job::JobError;
use aldis_wire::{ConvSeq, Seq};

use crate::harness::{append, appended, direct, on_every_backend};

#[test]
fn a_poisoned_message_fails_alone_and_order_holds() {
    on_every_backend(|bench| {
        let users = bench.users(2);
        let key = direct(users[0], users[1]);
        let poison = bench.fresh_id();
        bench.poison(poison);
        let mut jobs: Vec<_> =
            (0..20).map(|n| append(key, users[0], bench.fresh_id(), &n.to_string())).collect();
        jobs.insert(13, append(key, users[0], poison, "poison"));
        let committed = bench.batch(jobs);
        assert_eq!(committed.results[13], Err(JobError::Internal));
        assert_eq!(committed.events.len(), 20);
        let good: Vec<_> = committed.results.iter().filter_map(|r| r.as_ref().ok()).collect();
        for (at, written) in (1..).zip(&good) {
            assert_eq!(appended(written).conv_seq, ConvSeq(at));
        }
        let mailbox = bench.mailbox(users[1]);
        for (at, entry) in (0..20).zip(mailbox) {
            assert_eq!(entry.content, at.to_string());
        }
        let alone = bench.batch(vec![append(key, users[0], poison, "poison")]);
        assert_eq!(alone.results, [Err(JobError::Internal)]);
        assert_eq!(bench.send(key, users[0], "after").unwrap().seq, Seq(21));
    });
}

#[test]
fn a_failed_batch_leaves_nothing_and_the_next_one_works() {
    on_every_backend(|bench| {
        let users = bench.users(2);
        let key = direct(users[0], users[1]);
        bench.send(key, users[0], "before").unwrap();
        let id = bench.fresh_id();
        let job = append(key, users[0], id, "lost, then sent again");
        bench.with_failing_store(|bench| {
            let failed = bench.batch(vec![job.clone(), job.clone()]);
            assert_eq!(failed.results, vec![Err(JobError::Unavailable); 2]);
            assert!(failed.events.is_empty());
            assert_eq!(bench.mailbox(users[1]).len(), 1);
        });
        let again = bench.run(job).unwrap();
        assert_eq!((appended(&again).seq, appended(&again).conv_seq), (Seq(2), ConvSeq(2)));
        assert_eq!(bench.mailbox(users[1]).len(), 2);
    });
}
