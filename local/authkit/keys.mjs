/** The RSA keys that sign access tokens, and the JWK Set (RFC 7517) that publishes them. */

import { createPrivateKey, createPublicKey, generateKeyPairSync } from 'node:crypto';

import { newId } from './ids.mjs';

/**
 * @typedef {object} SigningKey
 * @property {string} kid
 * @property {import('node:crypto').KeyObject} privateKey
 * @property {import('node:crypto').KeyObject} publicKey
 */

/** @returns {import('node:crypto').KeyObject} a new 2048-bit RSA private key */
export function generatePrivateKey() {
  return generateKeyPairSync('rsa', { modulusLength: 2048 }).privateKey;
}

/** The key that signs now, first, then those still published. The first is made when it is needed. */
export class KeyRing {
  /** @type {SigningKey[]} */
  #made;
  #firstKey;
  #now;
  #onChange;

  /**
   * @param {object} options
   * @param {() => number} options.now milliseconds
   * @param {() => void} options.onChange
   * @param {import('jose').JWK[]} [options.saved] private JWKs, as `toJSON` gave them
   * @param {import('node:crypto').KeyObject} [options.firstKey] where nothing is saved; default: a new
   *   one, which takes a quarter of a second
   * @throws when `saved` holds anything but RSA private keys with a `kid`
   */
  constructor({ now, onChange, saved = [], firstKey }) {
    this.#now = now;
    this.#onChange = onChange;
    this.#firstKey = firstKey;
    this.#made = saved.map((jwk) => {
      const privateKey = createPrivateKey({ key: /** @type {any} */ (jwk), format: 'jwk' });
      if (privateKey.asymmetricKeyType !== 'rsa' || typeof jwk.kid !== 'string')
        throw new TypeError('not an RSA signing key');
      return { kid: jwk.kid, privateKey, publicKey: createPublicKey(privateKey) };
    });
  }

  /** @returns {SigningKey[]} at least one */
  get #keys() {
    if (this.#made.length === 0) this.#made = [this.#signingKey(this.#firstKey)];
    return this.#made;
  }

  /** @returns {SigningKey} */
  get current() {
    return this.#keys[0];
  }

  /**
   * Signs with a new key from now on.
   *
   * @param {{retireOld?: boolean}} [options] `retireOld`: also stop publishing the earlier ones
   * @returns {string} the new key's `kid`
   */
  rotate({ retireOld = false } = {}) {
    this.#made = [this.#signingKey(), ...(retireOld ? [] : this.#keys)];
    this.#onChange();
    return this.current.kid;
  }

  /** @returns {{keys: import('jose').JWK[]}} public members only */
  jwks() {
    return {
      keys: this.#keys.map(({ kid, publicKey }) => ({
        ...publicKey.export({ format: 'jwk' }),
        kid,
        use: 'sig',
        alg: 'RS256',
      })),
    };
  }

  toJSON() {
    return this.#keys.map(({ kid, privateKey }) => ({ ...privateKey.export({ format: 'jwk' }), kid }));
  }

  /** @returns {SigningKey} */
  #signingKey(privateKey = generatePrivateKey()) {
    return { kid: newId('local_key', this.#now()), privateKey, publicKey: createPublicKey(privateKey) };
  }
}
