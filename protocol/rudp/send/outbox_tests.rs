//! Tests of the order in which messages leave, and of what becomes of them.

use proptest::prelude::*;

use super::*;

const ROOM: usize = 1_150;

fn outbox() -> Outbox {
    Outbox::new(1 << 20, 1 << 20)
}

fn push(outbox: &mut Outbox, len: usize) -> u64 {
    outbox.push(Flow::Unordered, Bytes::from(vec![1; len])).unwrap().0
}

/// The next pieces of full datagrams with a piece each.
fn take(outbox: &mut Outbox, count: usize) -> Vec<u64> {
    let mut ids = Vec::new();
    for _ in 0..count {
        ids.extend(outbox.next_piece(ROOM, None, false).map(|piece| piece.message));
    }
    outbox.invariants();
    ids
}

#[test]
fn small_messages_go_first_and_large_ones_get_every_eighth_turn() {
    let mut outbox = outbox();
    let large = push(&mut outbox, 50_000);
    for _ in 0..20 {
        push(&mut outbox, 50);
    }
    let ids = take(&mut outbox, 18);
    let turns: Vec<usize> = (0..18).filter(|turn| ids[*turn] == large).collect();
    assert_eq!(turns, [7, 15]);
}

#[test]
fn large_messages_take_turns() {
    let mut outbox = outbox();
    let (one, other) = (push(&mut outbox, 50_000), push(&mut outbox, 50_000));
    let ids = take(&mut outbox, 20);
    let count = ids.iter().filter(|id| **id == one).count();
    assert_eq!((count, ids.len()), (10, 20));
    assert!(ids.windows(3).all(|turns| turns.contains(&one) && turns.contains(&other)));
}

#[test]
fn what_was_lost_goes_first_and_only_once() {
    let mut outbox = outbox();
    let lost = push(&mut outbox, 100);
    let piece = outbox.next_piece(ROOM, None, false).unwrap();
    let next = push(&mut outbox, 100);
    outbox.handle_lost(piece);
    outbox.handle_lost(piece);
    assert_eq!(take(&mut outbox, 3), [lost, next]);
}

#[test]
fn a_loss_of_which_a_copy_is_under_way_waits_for_the_copy() {
    let mut outbox = outbox();
    let id = push(&mut outbox, 100);
    let piece = outbox.next_piece(ROOM, None, false).unwrap();
    let copy = outbox.copy_piece(piece, ROOM).unwrap();
    outbox.handle_lost(piece);
    assert_eq!(take(&mut outbox, 1), []);
    outbox.handle_lost(copy);
    assert_eq!(take(&mut outbox, 1), [id]);
}

#[test]
fn what_was_acknowledged_after_all_is_not_sent_again() {
    let mut outbox = outbox();
    push(&mut outbox, 100);
    let piece = outbox.next_piece(ROOM, None, false).unwrap();
    outbox.handle_lost(piece);
    outbox.handle_acknowledged(piece);
    assert_eq!(take(&mut outbox, 1), []);
    assert_eq!((outbox.unacknowledged_count(), outbox.first_id()), (0, 1));
    assert_eq!(outbox.copy_piece(piece, ROOM), None);
}

#[test]
fn the_peers_window_holds_messages_back_but_not_their_rest() {
    let mut outbox = Outbox::new(1 << 20, 5_000 + 64);
    let large = push(&mut outbox, 5_000);
    push(&mut outbox, 10);
    assert_eq!(take(&mut outbox, 9), [large; 5]);
    outbox.raise_limit(10_000);
    assert_eq!(take(&mut outbox, 9).len(), 1);
}

#[test]
fn a_full_buffer_refuses_until_half_of_it_is_free() {
    let mut outbox = Outbox::new(10_640, 1 << 20);
    for _ in 0..10 {
        push(&mut outbox, 1_000);
    }
    assert!(outbox.push(Flow::Unordered, Bytes::from(vec![1; 1_000])).is_none());
    let pieces: Vec<Chunk> =
        (0..10).map(|_| outbox.next_piece(ROOM, None, false).unwrap()).collect();
    for (index, piece) in pieces.into_iter().enumerate() {
        outbox.handle_acknowledged(piece);
        assert_eq!(outbox.take_writable(), index == 4);
    }
}

proptest! {
    #[test]
    fn everything_is_delivered_however_pieces_fare(
        lens in proptest::collection::vec(1usize..4_000, 1..12),
        fates in proptest::collection::vec((0usize..8, any::<bool>()), 0..200),
    ) {
        let mut outbox = outbox();
        let ids: Vec<u64> = lens.iter().map(|len| push(&mut outbox, *len)).collect();
        let mut under_way: Vec<Chunk> = Vec::new();
        for (pick, is_lost) in fates {
            under_way.extend(outbox.next_piece(ROOM, None, false));
            if pick < under_way.len() {
                let piece = under_way.swap_remove(pick);
                if is_lost {
                    outbox.handle_lost(piece);
                } else {
                    outbox.handle_acknowledged(piece);
                }
            }
            outbox.invariants();
        }
        for _ in 0..1_000 {
            under_way.extend(outbox.next_piece(ROOM, None, false));
            under_way.drain(..).for_each(|piece| outbox.handle_acknowledged(piece));
        }
        prop_assert_eq!(outbox.unacknowledged_count(), 0);
        prop_assert_eq!(outbox.first_id(), ids.len() as u64);
    }
}
