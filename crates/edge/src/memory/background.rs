//! Work beside requests and events.

use std::{
    future::poll_fn,
    sync::{Arc, Mutex, PoisonError},
    task::{Context, Poll},
};

use futures_util::future::BoxFuture;

opaque_debug!(BackgroundTasks);

/// Work that goes on beside requests and events. It runs while a test awaits [`settle`](Self::settle).
#[derive(Clone, Default)]
pub struct BackgroundTasks(Arc<Mutex<Vec<BoxFuture<'static, ()>>>>);

impl BackgroundTasks {
    /// Adds work.
    pub fn spawn(&self, work: BoxFuture<'static, ()>) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(work);
    }

    /// Returns once no work is left.
    pub async fn settle(&self) {
        poll_fn(|context| self.poll(context)).await;
    }

    fn poll(&self, context: &mut Context<'_>) -> Poll<()> {
        let mut pending = Vec::new();
        loop {
            // Work may add work, so the list is not locked while it runs.
            let tasks = std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner));
            if tasks.is_empty() {
                break;
            }
            for mut task in tasks {
                if task.as_mut().poll(context).is_pending() {
                    pending.push(task);
                }
            }
        }
        let is_done = pending.is_empty();
        self.0.lock().unwrap_or_else(PoisonError::into_inner).extend(pending);
        if is_done { Poll::Ready(()) } else { Poll::Pending }
    }
}
