/** What this isolate has used of the services that are billed by operation. */

/** @typedef {{ get: number, put: number, list: number, delete: number }} KvCounts */
/**
 * @typedef {object} Counts
 * @property {KvCounts} kv operations of the isolate's requests; `get` counts a bulk read once
 * @property {KvCounts} objectKv operations of the objects
 * @property {number} messages to objects
 * @property {number} alarms that ran
 * @property {number} rowsWritten in the objects' storage: puts, deletes, and changes of the alarm
 */

/** @type {Counts} */
export const counts = {
  kv: { get: 0, put: 0, list: 0, delete: 0 },
  objectKv: { get: 0, put: 0, list: 0, delete: 0 },
  messages: 0,
  alarms: 0,
  rowsWritten: 0,
};
