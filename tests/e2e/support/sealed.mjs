/**
 * The session cookie's format, written down a second time from the contract: standard base64 of
 * `nonce(12) ‖ ciphertext ‖ tag(16)`, AES-256-GCM without additional data, where a password of 64
 * hex digits is the key itself.
 */

import { createCipheriv, createDecipheriv, randomBytes } from 'node:crypto';

const NONCE_BYTES = 12;
const TAG_BYTES = 16;

/** @param {string} value @param {string} password 64 hex digits */
export function openSession(value, password) {
  const bytes = Buffer.from(value, 'base64');
  if (bytes.toString('base64') !== value) throw new Error('the session cookie is not standard base64');
  const decipher = createDecipheriv('aes-256-gcm', Buffer.from(password, 'hex'), bytes.subarray(0, NONCE_BYTES));
  decipher.setAuthTag(bytes.subarray(-TAG_BYTES));
  const plaintext = Buffer.concat([decipher.update(bytes.subarray(NONCE_BYTES, -TAG_BYTES)), decipher.final()]);
  return JSON.parse(plaintext.toString());
}

/** @param {unknown} session @param {string} password 64 hex digits @returns {string} */
export function sealSession(session, password) {
  const nonce = randomBytes(NONCE_BYTES);
  const cipher = createCipheriv('aes-256-gcm', Buffer.from(password, 'hex'), nonce);
  const ciphertext = Buffer.concat([cipher.update(JSON.stringify(session)), cipher.final()]);
  return Buffer.concat([nonce, ciphertext, cipher.getAuthTag()]).toString('base64');
}
