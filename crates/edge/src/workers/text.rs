//! Unicode's forms of text, by JavaScript's `String.prototype.normalize` and `toLowerCase` (ECMA-262).

use wasm_bindgen::prelude::wasm_bindgen;

use super::operation::read_inbox;

#[wasm_bindgen(module = "/src/workers/text.js")]
extern "C" {
    #[wasm_bindgen(js_name = inSmallLetters)]
    fn small_letters(text: &str, is_decomposed: bool) -> u32;
}

/// Passes the text in small letters, in Unicode's form NFKD if wanted.
pub fn in_small_letters(text: &str, is_decomposed: bool, read: &mut dyn FnMut(&str)) {
    // JavaScript encodes UTF-8.
    let read = |text: &[u8]| read(std::str::from_utf8(text).unwrap_or_default());
    read_inbox(small_letters(text, is_decomposed), read);
}
