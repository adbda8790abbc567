//! Sorting for all types by one copy of std's algorithm, which otherwise adds 5 kB to the bundle for each type.

use std::cmp::Ordering;

/// The items in the order of their keys. The sort is stable.
pub(crate) fn sorted_by_key<T, K: Ord>(items: Vec<T>, key: impl Fn(&T) -> K) -> Vec<T> {
    let order = order(items.len(), &|left, right| key(&items[left]).cmp(&key(&items[right])));
    let mut items: Vec<Option<T>> = items.into_iter().map(Some).collect();
    order.into_iter().filter_map(|index| items[index].take()).collect()
}

/// The numbers below `count` in the order of `compare`.
pub(crate) fn order(count: usize, compare: &dyn Fn(usize, usize) -> Ordering) -> Vec<usize> {
    let mut order: Vec<usize> = (0..count).collect();
    order.sort_by(|left, right| compare(*left, *right));
    order
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_keys_stay_in_order() {
        let items = vec![(2, 'a'), (1, 'b'), (2, 'c'), (1, 'd')];
        let sorted = sorted_by_key(items, |(number, _)| *number);
        assert_eq!(sorted, [(1, 'b'), (1, 'd'), (2, 'a'), (2, 'c')]);
        assert!(sorted_by_key(Vec::<u8>::new(), |number| *number).is_empty());
    }
}
