//! Objects whose next messages fail.

use std::{
    collections::VecDeque,
    sync::{Mutex, MutexGuard},
};

use async_trait::async_trait;
use edge_host::{ObjectError, ObjectErrorKind, ObjectNamespace, memory::MemoryObjects};

/// How a message fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// The connection breaks before the object has the message.
    LosesMessage,
    /// The connection breaks after the object has responded.
    LosesResponse,
    /// The object responds, and the response is still on its way when the test ends.
    DelaysResponse,
}

/// The objects of an isolate. Each message takes the next fault; without one it succeeds.
pub struct FaultyObjects {
    objects: MemoryObjects,
    faults: Mutex<VecDeque<Fault>>,
}

impl FaultyObjects {
    pub fn new(objects: &MemoryObjects) -> Self {
        Self { objects: objects.clone(), faults: Mutex::default() }
    }

    /// Adds a fault for the next message.
    pub fn add(&self, fault: Fault) {
        self.faults().push_back(fault);
    }

    /// Whether each fault has met a message.
    pub fn is_spent(&self) -> bool {
        self.faults().is_empty()
    }

    fn faults(&self) -> MutexGuard<'_, VecDeque<Fault>> {
        self.faults.lock().unwrap()
    }
}

#[async_trait]
impl ObjectNamespace for FaultyObjects {
    async fn send(&self, name: &str, message: &str) -> Result<String, ObjectError> {
        let fault = self.faults().pop_front();
        let lost = || ObjectError::new(ObjectErrorKind::Disconnected, "lost once");
        if fault == Some(Fault::LosesMessage) {
            return Err(lost());
        }
        let response = self.objects.send(name, message).await;
        match fault {
            Some(Fault::LosesResponse) => Err(lost()),
            Some(Fault::DelaysResponse) => std::future::pending().await,
            _ => response,
        }
    }
}
