//! A bounded map of what was used lately, for caches. Knows no contents.

use std::collections::HashMap;
use std::hash::Hash;

use foldhash::fast::RandomState;

/// A map that keeps about its most recently used entries: two generations, of which the older one
/// is dropped when the younger one has grown to half the limit. Costs nothing per use, unlike a list.
#[derive(Debug)]
pub(crate) struct Recent<K, V> {
    young: HashMap<K, V, RandomState>,
    old: HashMap<K, V, RandomState>,
    entries_max: usize,
}

impl<K: Eq + Hash + Copy, V> Recent<K, V> {
    /// Keeps at least half of `entries_max`, and as many after each [`Self::trim`].
    pub(crate) fn new(entries_max: usize) -> Self {
        Self { young: HashMap::default(), old: HashMap::default(), entries_max }
    }

    /// Makes it recent.
    pub(crate) fn get_mut(&mut self, key: K) -> Option<&mut V> {
        if !self.old.is_empty()
            && !self.young.contains_key(&key)
            && let Some(value) = self.old.remove(&key)
        {
            self.young.insert(key, value);
        }
        self.young.get_mut(&key)
    }

    /// Looks without making it recent.
    pub(crate) fn peek(&self, key: K) -> Option<&V> {
        self.young.get(&key).or_else(|| self.old.get(&key))
    }

    /// Adds or replaces; it is recent then.
    pub(crate) fn insert(&mut self, key: K, value: V) {
        self.old.remove(&key);
        self.young.insert(key, value);
    }

    /// Forgets it.
    pub(crate) fn remove(&mut self, key: K) {
        self.old.remove(&key);
        self.young.remove(&key);
    }

    /// Holds the bound; what must not be lost yet may pass it before.
    pub(crate) fn trim(&mut self) {
        if self.young.len() >= self.entries_max / 2 {
            self.old = std::mem::take(&mut self.young);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_used_stays_and_the_rest_goes() {
        let mut recent = Recent::new(8);
        for key in 0..100u32 {
            recent.insert(key, key);
            assert_eq!(recent.get_mut(0).copied(), Some(0), "used all the time");
            recent.trim();
            assert!(recent.young.len() + recent.old.len() <= 8);
        }
        assert_eq!(recent.get_mut(1), None);
        assert_eq!(recent.peek(99), Some(&99));
    }

    #[test]
    fn the_newer_value_wins() {
        let mut recent = Recent::new(2);
        recent.insert(1, 'a');
        recent.trim();
        recent.insert(1, 'b');
        assert_eq!(recent.peek(1), Some(&'b'));
        assert_eq!(recent.get_mut(1), Some(&mut 'b'));
    }
}
