/**
 * KV at one location: it sees its own writes at once and those of other locations only some time later, by the
 * isolate's clock. Every read is as late as that, `list` too, and a key that is new elsewhere is missing.
 * <https://developers.cloudflare.com/kv/concepts/how-kv-works/>
 *
 * Writes take effect in the namespace at once. A second namespace has the versions of each key that was written
 * through this class. It is for tests with tens of keys: a list reads all of them.
 */

/**
 * @typedef {object} Version
 * @property {string | null} value `null` after a deletion
 * @property {unknown} [metadata]
 * @property {number} [expiresAt] milliseconds since 1970
 * @property {number} [writtenAt] milliseconds since 1970; none: it was there before the first write
 * @property {string} [location] where it was written
 */

/** The most keys in a page of KV's `list`. */
const LIST_MAX_KEYS = 1_000;
const encoder = new TextEncoder();

export class LaggingKv {
  #namespace;
  #history;
  #location;
  #lagMs;

  /** @param {KVNamespace} namespace @param {KVNamespace} history @param {string} location @param {number} lagMs */
  constructor(namespace, history, location, lagMs) {
    this.#namespace = namespace;
    this.#history = history;
    this.#location = location;
    this.#lagMs = lagMs;
  }

  /** @param {string | string[]} key */
  async get(key) {
    if (!Array.isArray(key)) return (await this.#seen(key))?.value ?? null;
    const values = await Promise.all(key.map(async (each) => (await this.#seen(each))?.value ?? null));
    return new Map(key.map((each, index) => [each, values[index]]));
  }

  /** @param {string} key @param {string} value @param {KVNamespacePutOptions} [options] */
  async put(key, value, options = {}) {
    const expiresAt = options.expirationTtl === undefined ? undefined : Date.now() + options.expirationTtl * 1000;
    await this.#remember(key, { value, metadata: options.metadata ?? undefined, expiresAt });
    await this.#namespace.put(key, value, options);
  }

  /** @param {string} key */
  async delete(key) {
    await this.#remember(key, { value: null });
    await this.#namespace.delete(key);
  }

  /** @param {{ prefix?: string, limit?: number, cursor?: string }} options the cursor is the last key of a page */
  async list({ prefix = '', limit = LIST_MAX_KEYS, cursor }) {
    const [now, changed] = await Promise.all([allKeys(this.#namespace, prefix), allKeys(this.#history, prefix)]);
    const keys = new Map(now.map((key) => [key.name, key]));
    for (const { name } of changed) {
      const version = await this.#seen(name);
      if (version && version.value !== null) keys.set(name, { name, metadata: version.metadata });
      else keys.delete(name);
    }
    const rest = [...keys.values()]
      .sort((a, b) => compareBytes(a.name, b.name))
      .filter(({ name }) => cursor === undefined || compareBytes(name, cursor) > 0);
    const page = rest.slice(0, limit);
    if (page.length === rest.length) return { keys: page, list_complete: true };
    return { keys: page, list_complete: false, cursor: page.at(-1)?.name };
  }

  /** The version of a key that this location sees. @param {string} key @returns {Promise<Version | undefined>} */
  async #seen(key) {
    const versions = await this.#versions(key);
    const limit = Date.now() - this.#lagMs;
    const seen = versions.findLast(
      ({ writtenAt, location }) => location === this.#location || (writtenAt ?? 0) <= limit,
    );
    return seen?.expiresAt !== undefined && seen.expiresAt <= Date.now() ? undefined : seen;
  }

  /** @param {string} key @returns {Promise<Version[]>} */
  async #versions(key) {
    /** @type {Version[] | null} */
    const versions = await this.#history.get(key, 'json');
    if (versions) return versions;
    const { value, metadata } = await this.#namespace.getWithMetadata(key);
    return value === null ? [] : [{ value, metadata: metadata ?? undefined }];
  }

  /** Called before the write takes effect, because the version before it is still read from the namespace. @param {string} key @param {Version} version */
  async #remember(key, version) {
    const versions = await this.#versions(key);
    versions.push({ ...version, writtenAt: Date.now(), location: this.#location });
    await this.#history.put(key, JSON.stringify(versions));
  }
}

/** @param {KVNamespace} namespace @param {string} prefix */
async function allKeys(namespace, prefix) {
  /** @type {KVNamespaceListKey<unknown>[]} */
  const keys = [];
  for (let cursor; ; ) {
    /** @type {KVNamespaceListResult<unknown>} */
    const page = await namespace.list({ prefix, cursor });
    keys.push(...page.keys);
    if (page.list_complete) return keys;
    cursor = page.cursor;
  }
}

/** Orders keys as KV does. @param {string} a @param {string} b */
function compareBytes(a, b) {
  const [left, right] = [encoder.encode(a), encoder.encode(b)];
  const length = Math.min(left.length, right.length);
  for (let index = 0; index < length; index += 1) {
    if (left[index] !== right[index]) return left[index] - right[index];
  }
  return left.length - right.length;
}
