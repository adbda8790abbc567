//! Events go to the Worker's console, one JSON object a line, which Workers Logs takes apart into fields; and, where a
//! dataset of Workers Analytics Engine is bound, to that.
//! <https://developers.cloudflare.com/workers/observability/logs/workers-logs/>

use std::cell::RefCell;

use wasm_bindgen::{JsValue, prelude::wasm_bindgen};
use worker::js_sys::Reflect;

use crate::{Emitted, Level, set_sink};

/// The binding with the version of the code.
/// <https://developers.cloudflare.com/workers/runtime-apis/bindings/version-metadata/>
const VERSION_BINDING: &str = "CF_VERSION_METADATA";
/// The binding of the dataset that counts events.
/// <https://developers.cloudflare.com/analytics/analytics-engine/>
const ANALYTICS_BINDING: &str = "ANALYTICS";

#[wasm_bindgen(module = "/src/workers/console.js")]
extern "C" {
    #[wasm_bindgen(js_name = writeLine)]
    fn write_line(level: u32, line: &str);

    #[wasm_bindgen(js_name = writePoint)]
    fn write_point(dataset: &JsValue, point: &str);
}

/// The bindings for events.
#[derive(Default)]
struct Bound {
    version: Option<String>,
    dataset: Option<JsValue>,
}

thread_local! {
    /// `None` before the first event of the runtime, which brings the environment.
    static BOUND: RefCell<Option<Bound>> = const { RefCell::new(None) };
}

/// Sends events to the console.
pub fn install() {
    // This fails only when a sink is set already.
    let _ = set_sink(write);
}

/// Reads the version and the dataset from the environment, by the names of their bindings. All events of an isolate
/// have the same ones.
pub fn bind(binding: impl Fn(&str) -> Option<JsValue>) {
    BOUND.with_borrow_mut(|bound| {
        bound.get_or_insert_with(|| {
            let metadata = binding(VERSION_BINDING);
            let id = metadata.and_then(|data| Reflect::get(&data, &JsValue::from_str("id")).ok());
            let version = id.and_then(|id| id.as_string());
            Bound { version, dataset: binding(ANALYTICS_BINDING) }
        });
    });
}

fn write(emitted: &Emitted<'_>) {
    let level = match emitted.event().level() {
        Level::Info => 0,
        Level::Warn => 1,
        Level::Error => 2,
    };
    BOUND.with_borrow(|bound| {
        let version = bound.as_ref().and_then(|bound| bound.version.as_deref());
        write_line(level, &emitted.to_json(version));
        if let Some(dataset) = bound.as_ref().and_then(|bound| bound.dataset.as_ref()) {
            write_point(dataset, &emitted.to_data_point(version));
        }
    });
}
