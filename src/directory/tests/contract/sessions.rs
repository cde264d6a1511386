//! Sessions: who wins, what is found, what is taken back.

use aldis_logic::job::{DirectoryJob, Registration};
use aldis_wire::DeviceClass;

use crate::harness::on_every_backend;

const LIVE: Registration = Registration::Live { replaced: None };

#[test]
fn the_higher_epoch_wins_whatever_the_order() {
    on_every_backend(|bench| {
        let first = bench.record(0, 0, DeviceClass::Phone, 1);
        let second = bench.record(1, 0, DeviceClass::Phone, 2);
        let third = bench.record(0, 0, DeviceClass::Phone, 3);
        assert_eq!(bench.register(1, second), LIVE);
        assert_eq!(bench.register(0, first), Registration::Fenced);
        assert_eq!(bench.seen(0), [second]);
        assert_eq!(bench.register(0, third), Registration::Live { replaced: Some(second) });
        assert_eq!(bench.register(1, second), Registration::Fenced);
        assert_eq!(bench.seen(0), [third]);
    });
}

#[test]
fn a_session_that_is_announced_again_replaces_nothing() {
    on_every_backend(|bench| {
        let record = bench.record(0, 0, DeviceClass::Web, 9);
        assert_eq!(bench.register(0, record), LIVE);
        assert_eq!(bench.register(0, record), LIVE);
        assert_eq!(bench.seen(0), [record]);
    });
}

#[test]
fn epochs_are_exact_to_the_last_digit() {
    on_every_backend(|bench| {
        // The three nearest to the largest have the same value as floating-point numbers.
        let epochs = [9, 10, 99, 1 << 53, (1 << 53) + 1, u64::MAX - 1, u64::MAX];
        for (user, pair) in (0..).zip(epochs.windows(2)) {
            let older = bench.record(0, user, DeviceClass::Phone, pair[0]);
            let newer = bench.record(1, user, DeviceClass::Phone, pair[1]);
            let user = newer.user;
            assert_eq!(bench.register(0, older), LIVE);
            assert_eq!(bench.register(1, newer), Registration::Live { replaced: Some(older) });
            assert_eq!(bench.register(0, older), Registration::Fenced);
            assert_eq!(bench.sessions_of(0, &[user]), [newer]);
        }
    });
}

#[test]
fn classes_have_a_session_each() {
    on_every_backend(|bench| {
        let epochs = [5, 4, 3, 2, 1];
        let records: Vec<_> = DeviceClass::ALL
            .into_iter()
            .zip(epochs)
            .map(|(class, epoch)| bench.record(epoch as usize % 2, 0, class, epoch))
            .collect();
        for record in records.iter().rev() {
            let node = record.epoch.0 as usize % 2;
            assert_eq!(bench.register(node, *record), LIVE);
        }
        assert_eq!(bench.seen(0), records, "by class");
        bench.unregister(records[2].epoch.0 as usize % 2, records[2]);
        assert_eq!(bench.seen(0), [records[0], records[1], records[3], records[4]]);
    });
}

#[test]
fn only_ones_own_record_is_taken_back() {
    on_every_backend(|bench| {
        let old = bench.record(0, 0, DeviceClass::Web, 1);
        let new = bench.record(1, 0, DeviceClass::Web, 2);
        bench.register(0, old);
        bench.register(1, new);
        bench.unregister(0, old);
        assert_eq!(bench.seen(0), [new]);
        bench.unregister(1, new);
        assert_eq!(bench.seen(0), []);
        bench.unregister(1, new);
        assert_eq!(bench.register(0, old), LIVE, "nothing is left of the newer one");
    });
}

#[test]
fn a_session_that_was_never_registered_can_be_asserted() {
    on_every_backend(|bench| {
        let old = bench.record(0, 0, DeviceClass::Web, 1);
        let new = bench.record(1, 0, DeviceClass::Web, 2);
        assert_eq!(bench.apply(0, &[DirectoryJob::Assert(old)]), [None]);
        bench.settle();
        assert_eq!(bench.seen(0), [old]);
        bench.register(1, new);
        assert_eq!(bench.apply(0, &[DirectoryJob::Assert(old)]), [None]);
        bench.settle();
        assert_eq!(bench.seen(0), [new]);
    });
}

#[test]
fn a_batch_is_carried_out_in_order() {
    on_every_backend(|bench| {
        let one = bench.record(0, 0, DeviceClass::Phone, 1);
        let two = bench.record(0, 0, DeviceClass::Phone, 2);
        let other = bench.record(0, 1, DeviceClass::Phone, 1);
        let results = bench.apply(
            0,
            &[
                DirectoryJob::Register(one),
                DirectoryJob::Unregister(one),
                DirectoryJob::Register(two),
                DirectoryJob::Register(other),
                DirectoryJob::Register(one),
                DirectoryJob::Unregister(other),
            ],
        );
        let fenced = Some(Registration::Fenced);
        assert_eq!(results, [Some(LIVE), None, Some(LIVE), Some(LIVE), fenced, None]);
        assert_eq!(bench.seen(0), [two]);
        assert_eq!(bench.seen(1), []);
        assert_eq!(bench.apply(0, &[]), []);
    });
}

#[test]
fn thousands_of_sessions_fit_one_call() {
    on_every_backend(|bench| {
        let count = 5_000;
        let records: Vec<_> =
            (0..count).map(|user| bench.record(0, user, DeviceClass::Phone, user + 1)).collect();
        let jobs: Vec<_> = records.iter().copied().map(DirectoryJob::Register).collect();
        assert!(bench.apply(0, &jobs).iter().all(|result| *result == Some(LIVE)));
        let users: Vec<_> = (0..2 * count).map(|user| bench.user(user)).collect();
        assert_eq!(bench.sessions_of(1, &users), records, "in the order asked for");
        let jobs: Vec<_> = records.iter().copied().map(DirectoryJob::Unregister).collect();
        bench.apply(0, &jobs);
        assert_eq!(bench.sessions_of(1, &users), []);
        assert_eq!(bench.sessions_of(1, &[]), []);
    });
}

#[test]
fn sessions_of_an_earlier_life_are_void_but_their_epochs_count() {
    on_every_backend(|bench| {
        let old = bench.record(0, 0, DeviceClass::Phone, 5);
        bench.register(0, old);
        assert_eq!(bench.seen(0), [old]);
        bench.restart(0);
        bench.skip(1_000);
        assert_eq!(bench.seen(0), []);
        let late = bench.record(1, 0, DeviceClass::Phone, 4);
        assert_eq!(bench.register(1, late), Registration::Fenced);
        let new = bench.record(0, 0, DeviceClass::Phone, 6);
        assert_eq!(bench.register(0, new), Registration::Live { replaced: Some(old) });
        assert_eq!(bench.seen(0), [new]);
    });
}
