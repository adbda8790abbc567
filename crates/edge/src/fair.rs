//! A bounded map that many users of an isolate share. A full map evicts the oldest entry of the user
//! with the most entries, so that a user who fills the map evicts only their own entries.

use std::{borrow::Borrow, cmp::Reverse, collections::VecDeque, hash::Hash, sync::Arc};

use crate::hash::HashMap;

opaque_debug!(FairMap<K, V>);

/// A bounded map with fair eviction: see the module's documentation. Inserting an entry again makes it the
/// newest.
pub struct FairMap<K, V> {
    max_weight: usize,
    weight: usize,
    entries: HashMap<K, Entry<V>>,
    /// The keys of each owner with their turns, the oldest first. An owner without keys has no entry.
    owners: HashMap<Arc<str>, VecDeque<(u64, K)>>,
    next_turn: u64,
}

struct Entry<V> {
    value: V,
    weight: usize,
    owner: Arc<str>,
    turn: u64,
}

impl<K: Clone + Eq + Hash, V> FairMap<K, V> {
    /// An empty map for entries that together weigh `max_weight` at most.
    #[must_use]
    pub fn new(max_weight: usize) -> Self {
        Self {
            max_weight,
            weight: 0,
            entries: HashMap::default(),
            owners: HashMap::default(),
            next_turn: 0,
        }
    }

    /// The value of `key`.
    pub fn get<Q: Eq + Hash + ?Sized>(&self, key: &Q) -> Option<&V>
    where
        K: Borrow<Q>,
    {
        self.entries.get(key).map(|entry| &entry.value)
    }

    /// Inserts `owner`'s entry and removes others until there is room. An entry that is heavier than the
    /// map is not inserted.
    pub fn insert(&mut self, owner: &str, key: K, value: V, weight: usize) {
        self.remove(&key);
        if weight > self.max_weight {
            return;
        }
        let turn = self.next_turn;
        self.next_turn += 1;
        let owner = match self.owners.get_key_value(owner) {
            Some((owner, _)) => Arc::clone(owner),
            None => Arc::from(owner),
        };
        self.owners.entry(Arc::clone(&owner)).or_default().push_back((turn, key.clone()));
        self.entries.insert(key, Entry { value, weight, owner, turn });
        self.weight += weight;
        while self.weight > self.max_weight && self.evict() {}
    }

    /// Removes an entry and returns its value.
    pub fn remove<Q: Eq + Hash + ?Sized>(&mut self, key: &Q) -> Option<V>
    where
        K: Borrow<Q>,
    {
        let entry = self.entries.remove(key)?;
        self.weight -= entry.weight;
        if let Some(keys) = self.owners.get_mut(&entry.owner) {
            if let Ok(place) = keys.binary_search_by_key(&entry.turn, |(turn, _)| *turn) {
                keys.remove(place);
            }
            if keys.is_empty() {
                self.owners.remove(&entry.owner);
            }
        }
        Some(entry.value)
    }

    /// Removes the oldest entry of the owner with the most entries. Among owners with equally many, the
    /// owner of the oldest entry loses it. Returns false if the map is empty.
    fn evict(&mut self) -> bool {
        let share = |keys: &VecDeque<(u64, K)>| {
            let (oldest, key) = keys.front()?;
            Some((keys.len(), Reverse(*oldest), key.clone()))
        };
        let shares = self.owners.values().filter_map(share);
        let Some((_, _, key)) = shares.max_by_key(|(count, oldest, _)| (*count, *oldest)) else {
            return false;
        };
        self.remove(&key).is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn map(max_weight: usize) -> FairMap<String, usize> {
        FairMap::new(max_weight)
    }

    #[test]
    fn flood_evicts_its_own_oldest_entries() {
        let mut map = map(100);
        map.insert("grace", "g1".into(), 1, 1);
        map.insert("grace", "g2".into(), 2, 1);
        for number in 0..10_000 {
            map.insert("ada", format!("a{number}"), number, 1);
        }
        assert_eq!((map.get("g1"), map.get("g2")), (Some(&1), Some(&2)));
        assert_eq!(map.get("a9902"), Some(&9902));
        assert_eq!(map.get("a9901"), None);
        assert_eq!(map.entries.len(), 100);
    }

    #[test]
    fn new_owner_finds_room_among_equals() {
        let mut map = map(10);
        for number in 0..20 {
            map.insert(&format!("user {number}"), number.to_string(), number, 1);
        }
        assert_eq!((map.get("9"), map.get("10")), (None, Some(&10)));
        assert_eq!(map.get("19"), Some(&19));
    }

    #[test]
    fn heavy_entry_evicts_several_others() {
        let mut map = map(100);
        for number in 0..10 {
            map.insert("ada", number.to_string(), number, 10);
        }
        map.insert("grace", "heavy".into(), 0, 35);
        assert_eq!((map.get("3"), map.get("4"), map.weight), (None, Some(&4), 95));
        map.insert("grace", "too heavy".into(), 0, 101);
        assert_eq!((map.get("too heavy"), map.weight), (None, 95), "no entry is removed for it");
    }

    #[test]
    fn removed_entry_leaves_no_weight_and_no_owner() {
        let mut map = map(10);
        map.insert("ada", "a".into(), 1, 2);
        map.insert("ada", "a".into(), 2, 3);
        assert_eq!((map.weight, map.owners["ada"].len()), (3, 1));
        map.insert("grace", "a".into(), 3, 4);
        assert!(!map.owners.contains_key("ada"));
        assert_eq!(map.remove("a"), Some(3));
        assert_eq!((map.weight, map.entries.len(), map.owners.len()), (0, 0, 0));
        assert_eq!(map.remove("a"), None);
    }
}
