//! The invariants, a file each: a function from facts to findings. Each knows only itself.

mod i01_acknowledged_is_kept;
mod i02_one_place;
mod i03_only_what_was_sent;
mod i04_one_value;
mod i05_dense;
mod i06_pages;
mod i07_order;
mod i08_membership;
mod i09_no_way_back;
mod i10_unread;
mod i12_unique_ids;
mod i13_mailbox_order;
mod i14_refused;
#[cfg(test)]
mod testing;

use crate::facts::Facts;
use crate::findings::Findings;

/// Every check, in order of the invariants' numbers.
pub const ALL: [fn(&Facts<'_>, &mut Findings); 13] = [
    i01_acknowledged_is_kept::check,
    i02_one_place::check,
    i03_only_what_was_sent::check,
    i04_one_value::check,
    i05_dense::check,
    i06_pages::check,
    i07_order::check,
    i08_membership::check,
    i09_no_way_back::check,
    i10_unread::check,
    i12_unique_ids::check,
    i13_mailbox_order::check,
    i14_refused::check,
];
