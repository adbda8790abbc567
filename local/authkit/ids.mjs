/** Identifiers and secrets: ULIDs like WorkOS's, random tokens, and the digests they are stored as. */

import { createHash, randomBytes, timingSafeEqual } from 'node:crypto';

const CROCKFORD = '0123456789ABCDEFGHJKMNPQRSTVWXYZ';

/**
 * @param {string} prefix for example `user`
 * @param {number} nowMs
 * @returns {string} `prefix_` and a ULID
 */
export function newId(prefix, nowMs) {
  let time = '';
  for (let rest = nowMs, i = 0; i < 10; i += 1, rest = Math.floor(rest / 32)) time = CROCKFORD[rest % 32] + time;
  const random = Array.from(randomBytes(16), (byte) => CROCKFORD[byte % 32]).join('');
  return `${prefix}_${time}${random}`;
}

/** @returns {string} 256 random bits, base64url */
export function newSecret() {
  return randomBytes(32).toString('base64url');
}

/**
 * @param {string} secret
 * @returns {string} its SHA-256, base64url; also what PKCE calls an S256 challenge
 */
export function digest(secret) {
  return createHash('sha256').update(secret).digest('base64url');
}

/**
 * @param {string} a
 * @param {string} b
 * @returns {boolean} whether they are equal, in time that does not depend on where they differ
 */
export function secretsMatch(a, b) {
  return timingSafeEqual(Buffer.from(digest(a)), Buffer.from(digest(b)));
}
