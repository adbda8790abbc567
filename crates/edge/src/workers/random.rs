//! Randomness of the runtime's Web Crypto.
//! <https://developers.cloudflare.com/workers/runtime-apis/web-crypto/#cryptogetrandomvalues>

use wasm_bindgen::{JsValue, prelude::wasm_bindgen};

#[wasm_bindgen(module = "/src/workers/random.js")]
extern "C" {
    /// `catch`: there is no randomness while an isolate starts.
    #[wasm_bindgen(catch, js_name = fillRandom)]
    fn fill_random(bytes: &mut [u8]) -> Result<(), JsValue>;
}

/// Fills `bytes`, and returns whether it could.
pub fn fill(bytes: &mut [u8]) -> bool {
    fill_random(bytes).is_ok()
}
