/** Randomness, by Web Crypto. */

/** @param {Uint8Array} bytes a view of the module's memory */
export function fillRandom(bytes) {
  crypto.getRandomValues(bytes);
}
