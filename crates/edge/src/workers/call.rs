//! An event under way, which JavaScript knows by its id.

use wasm_bindgen::{JsValue, prelude::wasm_bindgen};

use super::executor::{next_id, spawn};

#[wasm_bindgen(module = "/src/workers/isolate.js")]
extern "C" {
    fn close(id: u32);

    /// The environment that the runtime gave an event.
    pub fn environment(id: u32) -> JsValue;

    #[wasm_bindgen(js_name = keepEvent)]
    fn keep_event(id: u32, work: u32);

    #[wasm_bindgen(js_name = keepContext)]
    fn keep_context(context: &JsValue, work: u32);

    #[wasm_bindgen(js_name = endWork)]
    fn end_work(work: u32);
}

/// An event under way. JavaScript keeps the runtime's objects of the event until this is dropped.
pub struct Call(u32);

impl Call {
    /// The event with this id.
    pub fn new(id: u32) -> Self {
        Self(id)
    }

    /// Its id.
    pub fn id(&self) -> u32 {
        self.0
    }

    /// Runs `work` in the background. The runtime keeps the event's context for as long as it takes.
    pub fn run_in_background(&self, work: impl Future<Output = ()> + 'static) {
        run_for(work, |number| keep_event(self.0, number));
    }
}

impl Drop for Call {
    fn drop(&mut self) {
        close(self.0);
    }
}

/// Runs `work` in the background of `context`, which the runtime keeps for as long as it takes.
/// <https://developers.cloudflare.com/workers/runtime-apis/context/#waituntil>
pub fn run_in_background_of(context: &JsValue, work: impl Future<Output = ()> + 'static) {
    run_for(work, |number| keep_context(context, number));
}

fn run_for(work: impl Future<Output = ()> + 'static, keep: impl FnOnce(u32)) {
    // One number for the work and its task: JavaScript drops the task where the runtime has cancelled the work.
    let number = next_id();
    keep(number);
    spawn(number, async move {
        work.await;
        end_work(number);
    });
}
