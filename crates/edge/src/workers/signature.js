/** Signatures, by Web Crypto. */

import { operate, toInbox } from './isolate.js';

const RS256 = { name: 'RSASSA-PKCS1-v1_5', hash: 'SHA-256' };
/** Imported keys by modulus and exponent: the import takes as long as a verification. @type {Map<string, CryptoKey>} */
const keys = new Map();
/** Beyond this number all are dropped; an issuer publishes one to three. */
const KEYS_MAX = 16;

/**
 * The result is text when the signature is valid, and nothing when it is not.
 *
 * @param {number} waiter
 * @param {string} modulus base64url, as in a JWK
 * @param {string} exponent
 * @param {Uint8Array} message
 * @param {Uint8Array} signature
 */
export function verifyRs256(waiter, modulus, exponent, message, signature) {
  // Both are views of the module's memory, which changes during the import.
  const [signed, sent] = [message.slice(), signature.slice()];
  const verify = async () => {
    const name = `${modulus} ${exponent}`;
    let key = keys.get(name);
    if (!key) {
      const jwk = { kty: 'RSA', n: modulus, e: exponent };
      key = await crypto.subtle.importKey('jwk', jwk, RS256, false, ['verify']);
      if (keys.size >= KEYS_MAX) keys.clear();
      keys.set(name, key);
    }
    return (await crypto.subtle.verify(RS256, key, sent, signed)) ? 'valid' : undefined;
  };
  operate(waiter, verify, toInbox);
}
