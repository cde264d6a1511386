//! What the two of a 1:1 conversation are to each other, as the conversation's row keeps it: enough to
//! say who may write, without a look at the relations. Knows no table.

use aldis_logic::job::JobError;
use aldis_wire::{ConversationKey, UserId};

use crate::refusal::{BLOCKED, NOT_A_FRIEND};

/// Bits of one side: what that user did with the other.
const SIDE_MASK: u8 = 0b111;
/// The higher user's bits stand above the lower user's.
const HIGHER_SHIFT: u32 = 3;

/// See the file's head. Zero: two strangers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Ties(pub u8);

/// One side of the ties: what the user did with the other.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Side {
    /// Has the other as a friend.
    pub is_friend: bool,
    /// Deleted the other.
    pub is_closed: bool,
    /// Blocks the other.
    pub is_blocking: bool,
}

impl Ties {
    /// The side of one of the two.
    pub(crate) fn side(self, pair: ConversationKey, user: UserId) -> Side {
        let bits = self.0 >> shift(pair, user) & SIDE_MASK;
        Side { is_friend: bits & 1 != 0, is_closed: bits & 2 != 0, is_blocking: bits & 4 != 0 }
    }

    /// With another side of one of the two.
    pub(crate) fn with(self, pair: ConversationKey, user: UserId, side: Side) -> Self {
        let Side { is_friend, is_closed, is_blocking } = side;
        let bits = u8::from(is_friend) | u8::from(is_closed) << 1 | u8::from(is_blocking) << 2;
        let shift = shift(pair, user);
        Self(self.0 & !(SIDE_MASK << shift) | bits << shift)
    }

    /// Whether one of the two may write to the other.
    pub(crate) fn check_sender(
        self,
        pair: ConversationKey,
        sender: UserId,
        friends_only: bool,
    ) -> Result<(), JobError> {
        if pair.lo == pair.hi {
            return Ok(());
        }
        let receiver = pair.peer_of(sender).unwrap_or_default();
        let (from, to) = (self.side(pair, sender), self.side(pair, receiver));
        if from.is_blocking || to.is_blocking {
            return Err(BLOCKED);
        }
        if to.is_closed || (friends_only && !to.is_friend) {
            return Err(NOT_A_FRIEND);
        }
        Ok(())
    }
}

fn shift(pair: ConversationKey, user: UserId) -> u32 {
    if user.0 == pair.lo { 0 } else { HIGHER_SHIFT }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ADA: UserId = UserId(3);
    const BEN: UserId = UserId(7);

    fn pair() -> ConversationKey {
        ConversationKey::direct(ADA, BEN)
    }

    #[test]
    fn the_two_sides_are_apart() {
        let all = Side { is_friend: true, is_closed: true, is_blocking: true };
        let ties = Ties::default().with(pair(), BEN, all);
        assert_eq!((ties.side(pair(), ADA), ties.side(pair(), BEN)), (Side::default(), all));
        let friend = Side { is_friend: true, ..Side::default() };
        let ties = ties.with(pair(), ADA, friend).with(pair(), BEN, Side::default());
        assert_eq!((ties.side(pair(), ADA), ties.side(pair(), BEN)), (friend, Side::default()));
    }

    #[test]
    fn strangers_write_unless_only_friends_may() {
        assert_eq!(Ties::default().check_sender(pair(), ADA, false), Ok(()));
        assert_eq!(Ties::default().check_sender(pair(), ADA, true), Err(NOT_A_FRIEND));
        let friend = Side { is_friend: true, ..Side::default() };
        let ties = Ties::default().with(pair(), BEN, friend);
        assert_eq!(ties.check_sender(pair(), ADA, true), Ok(()), "Ben has Ada in his list");
        assert_eq!(ties.check_sender(pair(), BEN, true), Err(NOT_A_FRIEND));
    }

    #[test]
    fn who_was_deleted_may_not_write_and_who_deleted_may() {
        let closed = Side { is_closed: true, ..Side::default() };
        let ties = Ties::default().with(pair(), ADA, closed);
        assert_eq!(ties.check_sender(pair(), BEN, false), Err(NOT_A_FRIEND));
        assert_eq!(ties.check_sender(pair(), ADA, false), Ok(()));
    }

    #[test]
    fn a_block_holds_both_ways() {
        let blocking = Side { is_blocking: true, is_friend: true, is_closed: false };
        let ties = Ties::default().with(pair(), ADA, blocking);
        for sender in [ADA, BEN] {
            assert_eq!(ties.check_sender(pair(), sender, false), Err(BLOCKED));
        }
        let alone = ConversationKey::direct(ADA, ADA);
        assert_eq!(Ties(0xFF).check_sender(alone, ADA, true), Ok(()), "notes to oneself");
    }
}
