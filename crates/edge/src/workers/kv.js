/** Workers KV: each operation with its time limit. */

import { operate, toInbox } from './isolate.js';

/** @param {number} waiter @param {KVNamespace} namespace @param {string} key @param {number} maxMillis */
export function kvGet(waiter, namespace, key, maxMillis) {
  operate(waiter, () => namespace.get(key), toInbox, maxMillis);
}

/**
 * The result is the values as JSON, in the order of the keys.
 *
 * @param {number} waiter
 * @param {KVNamespace} namespace
 * @param {string} keys as JSON
 * @param {number} maxMillis
 */
export function kvGetMany(waiter, namespace, keys, maxMillis) {
  const names = /** @type {string[]} */ (JSON.parse(keys));
  // The map has an entry for every key, unless the runtime lost it: it makes the map of a JavaScript object and leaves
  // out names that are array indices.
  const get = async () => {
    const map = await namespace.get(names);
    const values = names.map((name) => (map.has(name) ? (map.get(name) ?? null) : namespace.get(name)));
    return Promise.all(values);
  };
  operate(waiter, get, (values) => toInbox(JSON.stringify(values)), maxMillis);
}

/**
 * @param {number} waiter
 * @param {KVNamespace} namespace
 * @param {string} key
 * @param {string} value
 * @param {string | undefined} metadata as JSON
 * @param {number | undefined} expirationTtl seconds
 * @param {number} maxMillis
 */
export function kvPut(waiter, namespace, key, value, metadata, expirationTtl, maxMillis) {
  const put = () => {
    /** @type {KVNamespacePutOptions} */
    const options = {};
    if (expirationTtl !== undefined) options.expirationTtl = expirationTtl;
    if (metadata !== undefined) options.metadata = parsed(metadata);
    return namespace.put(key, value, options);
  };
  operate(waiter, put, () => 0, maxMillis);
}

/** @param {string} metadata */
function parsed(metadata) {
  try {
    return JSON.parse(metadata);
  } catch {
    // The engine's message would contain the metadata.
    throw new Error('the metadata is not JSON');
  }
}

/** @param {number} waiter @param {KVNamespace} namespace @param {string} key @param {number} maxMillis */
export function kvDelete(waiter, namespace, key, maxMillis) {
  operate(
    waiter,
    () => namespace.delete(key),
    () => 0,
    maxMillis,
  );
}

/**
 * The result is KV's own, as JSON: a page of keys crosses in one piece.
 *
 * @param {number} waiter
 * @param {KVNamespace} namespace
 * @param {string} prefix
 * @param {number} limit
 * @param {string | undefined} cursor
 * @param {number} maxMillis
 */
export function kvList(waiter, namespace, prefix, limit, cursor, maxMillis) {
  const list = () => namespace.list({ prefix, limit, cursor });
  operate(waiter, list, (result) => toInbox(JSON.stringify(result)), maxMillis);
}
