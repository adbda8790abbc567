//! Runs futures on JavaScript's one thread. A task is polled in the call that starts it, and in the call that settles
//! what it waits for, with no turn of the event loop in between.

use std::{
    cell::{Cell, RefCell},
    collections::VecDeque,
    pin::Pin,
    sync::Arc,
    task::{Context, Wake, Waker},
};

use wasm_bindgen::{JsValue, prelude::wasm_bindgen};

use crate::table::Table;

#[wasm_bindgen(module = "/src/workers/isolate.js")]
extern "C" {
    /// `catch` although it throws nothing: for an import that needs no conversion at all, wasm-bindgen makes an object
    /// of everything that the file exports.
    #[wasm_bindgen(catch, js_name = runSoon)]
    fn run_soon() -> Result<(), JsValue>;
}

struct Task {
    work: Pin<Box<dyn Future<Output = ()>>>,
    waker: Waker,
}

struct TaskWaker(u32);

impl Wake for TaskWaker {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        READY.with_borrow_mut(|ready| ready.push_back(self.0));
        // Code outside of this folder woke the task, in an event of its own: nobody runs the tasks after it.
        if !IS_RUNNING.get() && !IS_RUN_PLANNED.replace(true) {
            let _: Result<(), JsValue> = run_soon();
        }
    }
}

thread_local! {
    /// The tasks that wait. A task that is polled is not among them.
    static TASKS: RefCell<Table<Task>> = const { RefCell::new(Table::new()) };
    static READY: RefCell<VecDeque<u32>> = const { RefCell::new(VecDeque::new()) };
    static IS_RUNNING: Cell<bool> = const { Cell::new(false) };
    static ENTRIES: Cell<u32> = const { Cell::new(0) };
    static IS_RUN_PLANNED: Cell<bool> = const { Cell::new(false) };
    static LAST_ID: Cell<u32> = const { Cell::new(0) };
    /// The task that is polled now, or was polled last.
    static CURRENT: Cell<u32> = const { Cell::new(0) };
}

/// The number of tasks that have not ended.
pub fn live() -> usize {
    TASKS.with_borrow(Table::len)
}

/// A number for a task, an operation or a stream. They repeat after four thousand millions.
pub fn next_id() -> u32 {
    let id = LAST_ID.get().wrapping_add(1);
    LAST_ID.set(id);
    id
}

/// Starts a task with an id of [`next_id`]. The call of JavaScript that is under way polls it before it ends.
pub fn spawn(id: u32, work: impl Future<Output = ()> + 'static) {
    let waker = Waker::from(Arc::new(TaskWaker(id)));
    TASKS.with_borrow_mut(|tasks| {
        tasks.insert(id, Task { work: Box::pin(work), waker: waker.clone() });
    });
    waker.wake();
}

/// The number of the call of JavaScript's that runs tasks now.
pub fn current_entry() -> Option<u32> {
    IS_RUNNING.get().then(|| ENTRIES.get())
}

/// Does `work`, a call of JavaScript's, and polls every task that can go on after it.
pub fn enter(work: impl FnOnce()) {
    let is_outermost = !IS_RUNNING.replace(true);
    if is_outermost {
        ENTRIES.set(ENTRIES.get().wrapping_add(1));
    }
    work();
    if is_outermost {
        while let Some(id) = READY.with_borrow_mut(VecDeque::pop_front) {
            poll(id);
        }
        IS_RUNNING.set(false);
    }
}

fn poll(id: u32) {
    CURRENT.set(id);
    // Woken twice, or while it was polled to its end.
    let Some(mut task) = TASKS.with_borrow_mut(|tasks| tasks.remove(id)) else { return };
    if task.work.as_mut().poll(&mut Context::from_waker(&task.waker)).is_pending() {
        TASKS.with_borrow_mut(|tasks| tasks.insert(id, task));
    }
}

/// Drops a task and everything that it holds, after the runtime has cancelled its operation. Does nothing once the task
/// has ended. JavaScript calls this too.
pub extern "C" fn abandon(id: u32) {
    let task = TASKS.with_borrow_mut(|tasks| tasks.remove(id));
    enter(|| drop(task));
}

/// The task that is polled now, or was polled last. After a panic it is the one that panicked.
pub extern "C" fn current() -> u32 {
    CURRENT.get()
}

/// Polls the tasks that were woken outside of a call of JavaScript's.
pub extern "C" fn run() {
    IS_RUN_PLANNED.set(false);
    enter(|| ());
}
