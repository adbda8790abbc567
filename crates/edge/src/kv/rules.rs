//! KV's rules for arguments.
//!
//! The memory host keeps all of them. The Workers host leaves them to KV, except for those that the
//! runtime does not pass on: it drops a list's limit of 0, and converts numbers to 32 bits.

use super::{
    KV_LIST_MAX_KEYS, KV_TTL_MAX_SECS, KV_TTL_MIN_SECS, KvError, KvErrorKind, KvOperation,
};

/// An argument that KV refuses.
pub(crate) fn refused(operation: KvOperation, reason: &str) -> KvError {
    KvError::new(operation, KvErrorKind::InvalidRequest, reason)
}

pub(crate) fn check_ttl(secs: u64) -> Result<(), KvError> {
    if (KV_TTL_MIN_SECS..=KV_TTL_MAX_SECS).contains(&secs) {
        return Ok(());
    }
    Err(refused(KvOperation::Put, "the time to live is too short or too long"))
}

pub(crate) fn check_list_limit(limit: usize) -> Result<(), KvError> {
    if (1..=KV_LIST_MAX_KEYS).contains(&limit) {
        return Ok(());
    }
    Err(refused(KvOperation::List, "the limit is out of range"))
}

#[cfg(feature = "memory")]
mod memory {
    use serde_json::Value;

    use super::{KvError, KvOperation, refused};
    use crate::kv::{
        KV_BULK_MAX_KEYS, KV_KEY_MAX_BYTES, KV_METADATA_MAX_BYTES, KV_VALUE_MAX_BYTES,
    };

    pub(crate) fn check_key(operation: KvOperation, key: &str) -> Result<(), KvError> {
        if key.is_empty() || matches!(key, "." | "..") {
            return Err(refused(operation, "the key is not allowed"));
        }
        if key.len() > KV_KEY_MAX_BYTES {
            return Err(refused(operation, "the key is too long"));
        }
        Ok(())
    }

    pub(crate) fn check_bulk(keys: &[String]) -> Result<(), KvError> {
        if !(1..=KV_BULK_MAX_KEYS).contains(&keys.len()) {
            return Err(refused(KvOperation::Get, "the number of keys is out of range"));
        }
        keys.iter().try_for_each(|key| check_key(KvOperation::Get, key))
    }

    pub(crate) fn check_prefix(prefix: &str) -> Result<(), KvError> {
        if prefix.len() > KV_KEY_MAX_BYTES {
            return Err(refused(KvOperation::List, "the prefix is too long"));
        }
        Ok(())
    }

    pub(crate) fn check_value(value: &str) -> Result<(), KvError> {
        if value.len() > KV_VALUE_MAX_BYTES {
            return Err(refused(KvOperation::Put, "the value is too long"));
        }
        Ok(())
    }

    /// The limit applies to the values of a bulk read together.
    pub(crate) fn check_bulk_values(values: &[Option<String>]) -> Result<(), KvError> {
        if values.iter().flatten().map(String::len).sum::<usize>() > KV_VALUE_MAX_BYTES {
            return Err(refused(KvOperation::Get, "the values are too long together"));
        }
        Ok(())
    }

    /// The metadata as a value. The limit applies to its JSON without white space.
    pub(crate) fn parse_metadata(metadata: &str) -> Result<Value, KvError> {
        let value: Value = serde_json::from_str(metadata)
            .map_err(|_| refused(KvOperation::Put, "the metadata is not JSON"))?;
        if value.to_string().len() > KV_METADATA_MAX_BYTES {
            return Err(refused(KvOperation::Put, "the metadata is too long"));
        }
        Ok(value)
    }
}

#[cfg(feature = "memory")]
pub(crate) use memory::{
    check_bulk, check_bulk_values, check_key, check_prefix, check_value, parse_metadata,
};
