/** Durable Objects: messages to them, and their storage. */

import { toInbox, operate } from './isolate.js';

/**
 * Sends a message to an object, by a stub for this message alone: a stub fails for ever after its object was reset.
 *
 * @param {number} waiter
 * @param {DurableObjectNamespace} namespace
 * @param {string} name
 * @param {string} message
 * @param {number} maxMillis
 */
export function sendToObject(waiter, namespace, name, message, maxMillis) {
  operate(waiter, () => send(namespace, name, message), toInbox, maxMillis, describe);
}

/**
 * The objects of a namespace in a jurisdiction. A name is another object in each jurisdiction.
 *
 * @param {DurableObjectNamespace} namespace
 * @param {string} jurisdiction
 */
export function objectsIn(namespace, jurisdiction) {
  return namespace.jurisdiction(/** @type {DurableObjectJurisdiction} */ (jurisdiction));
}

/** @param {DurableObjectNamespace} namespace @param {string} name @param {string} message */
async function send(namespace, name, message) {
  const response = await namespace.getByName(name).fetch('http://object/', { method: 'POST', body: message });
  const text = await response.text();
  if (response.status !== 200)
    throw new Error(`the object responded with status ${response.status}`, { cause: ANSWERED });
  return text;
}

/** The cause of an error that is the object's own response. */
const ANSWERED = 'answered';

/**
 * The marks that the runtime gives its errors, and the message after a line break.
 *
 * @param {any} error
 */
function describe(error) {
  const marks = ['overloaded', 'retryable', 'durableObjectReset', 'remote'].filter((mark) => error?.[mark]);
  if (error?.cause === ANSWERED) marks.push(ANSWERED);
  return `${marks.join(' ')}\n${error?.message ?? ''}`;
}

/**
 * Rows of an object as JSON, in order.
 *
 * @param {SyncKvStorage} rows
 * @param {string} prefix
 * @param {string} after the name that comes before the first; empty for the beginning
 * @param {number} limit
 */
export function objectRows(rows, prefix, after, limit) {
  return JSON.stringify([...rows.list({ prefix, startAfter: after, limit })]);
}

/**
 * Writes rows of an object, all or none: an error rolls the transaction back.
 *
 * @param {DurableObjectStorage} storage
 * @param {string} rows pairs of a name and a value, as JSON
 */
export function putObjectRows(storage, rows) {
  /** @type {[string, string][]} */
  const pairs = JSON.parse(rows);
  storage.transactionSync(() => {
    for (const [name, value] of pairs) storage.kv.put(name, value);
  });
}

/**
 * Sets the alarm of an object, or deletes it. The promise needs no wait: a write takes effect at once, and one that
 * cannot be made durable resets the object, with no response to anything that depends on it.
 *
 * @param {DurableObjectStorage} storage
 * @param {number | undefined} at milliseconds since 1970
 */
export function setObjectAlarm(storage, at) {
  (at === undefined ? storage.deleteAlarm() : storage.setAlarm(at)).catch(() => {});
}

/** Deletes the rows of an object and its alarm, at every compatibility date. @param {DurableObjectStorage} storage */
export function deleteObjectRows(storage) {
  storage.deleteAlarm().catch(() => {});
  storage.deleteAll().catch(() => {});
}
