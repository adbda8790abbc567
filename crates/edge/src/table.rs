//! Values by number: the tasks, operations, streams and objects that JavaScript names by one. A `BTreeMap` would
//! compile 8 kB of code for each type of value, and an isolate has few of them at a time.

use std::mem;

/// Values in the order of their numbers.
pub struct Table<T>(Vec<(u32, T)>);

impl<T> Table<T> {
    /// A table without values.
    pub const fn new() -> Self {
        Self(Vec::new())
    }

    /// The number of values.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    fn find(&self, number: u32) -> Result<usize, usize> {
        // A new number is the largest, until numbers repeat.
        match self.0.last() {
            Some((last, _)) if *last < number => Err(self.0.len()),
            _ => self.0.binary_search_by_key(&number, |(number, _)| *number),
        }
    }

    /// Adds a value. Returns the value that had the number before.
    pub fn insert(&mut self, number: u32, value: T) -> Option<T> {
        match self.find(number) {
            Ok(index) => Some(mem::replace(&mut self.0[index].1, value)),
            Err(index) => {
                self.0.insert(index, (number, value));
                None
            }
        }
    }

    /// The value of a number.
    pub fn get(&self, number: u32) -> Option<&T> {
        self.find(number).ok().map(|index| &self.0[index].1)
    }

    /// The value of a number.
    pub fn get_mut(&mut self, number: u32) -> Option<&mut T> {
        self.find(number).ok().map(|index| &mut self.0[index].1)
    }

    /// Takes the value of a number out of the table.
    pub fn remove(&mut self, number: u32) -> Option<T> {
        self.find(number).ok().map(|index| self.0.remove(index).1)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::Table;

    #[test]
    fn table_does_as_a_map_does() {
        let mut table = Table::new();
        let mut map = BTreeMap::new();
        let mut random = fastrand::Rng::with_seed(1);
        for value in 0..10_000 {
            // Few numbers, so that each is added, read and removed in turns; among them the first after they repeat.
            let number = u32::MAX.wrapping_add(random.u32(0..8));
            match random.u8(0..4) {
                0 => assert_eq!(table.insert(number, value), map.insert(number, value)),
                1 => assert_eq!(table.remove(number), map.remove(&number)),
                2 => assert_eq!(table.get(number), map.get(&number)),
                _ => assert_eq!(table.get_mut(number), map.get_mut(&number)),
            }
            assert_eq!(table.len(), map.len());
            assert!(table.0.iter().map(|(number, value)| (number, value)).eq(&map));
        }
    }
}
