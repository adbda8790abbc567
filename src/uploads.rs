//! The memory that files take: an isolate has 128 MB for everything, and a file takes about three times its size.

use std::sync::{Arc, Mutex, PoisonError, Weak};

use crate::expenses::Owner;

/// The longest body: a file, or the page's form with a file in base64.
pub(crate) const FILE_MAX_KIB: usize = 7 * 1024;
/// The most bytes of one user's files at once: one file of the greatest size.
const USER_MAX_BYTES: usize = FILE_MAX_KIB * 1024;
/// The most bytes of all files at once.
const ALL_MAX_BYTES: usize = 3 * USER_MAX_BYTES;

/// The files that an isolate reads and imports at the moment.
#[derive(Clone, Default)]
pub struct Uploads(Arc<Mutex<Vec<Weak<Room>>>>);

/// Room for a file, until it is dropped.
pub(crate) struct Room {
    owner: Owner,
    bytes: usize,
}

impl Uploads {
    /// Room for a file of so many bytes; `None` while other files take it.
    pub(crate) fn room(&self, owner: &Owner, bytes: usize) -> Option<Arc<Room>> {
        let mut rooms = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        rooms.retain(|room| room.strong_count() > 0);
        let (mut all, mut own) = (bytes, bytes);
        for room in rooms.iter().filter_map(Weak::upgrade) {
            all += room.bytes;
            own += if room.owner == *owner { room.bytes } else { 0 };
        }
        if all > ALL_MAX_BYTES || own > USER_MAX_BYTES {
            return None;
        }
        let room = Arc::new(Room { owner: owner.clone(), bytes });
        rooms.push(Arc::downgrade(&room));
        Some(room)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_have_room_for_each_user_and_together() {
        let uploads = Uploads::default();
        let room = |user: &str, bytes| uploads.room(&Owner::new(user), bytes);
        let half = USER_MAX_BYTES / 2;
        let held = [room("a", half), room("a", half), room("b", USER_MAX_BYTES)];
        assert!(held.iter().all(Option::is_some));
        assert!(room("a", 2).is_none(), "the user's own");
        assert!(room("c", USER_MAX_BYTES).is_some(), "and dropped");
        let last = room("d", USER_MAX_BYTES);
        assert!(last.is_some());
        assert!(room("e", 2).is_none(), "the isolate's");
        drop(held);
        assert!(room("a", USER_MAX_BYTES).is_some());
    }
}
