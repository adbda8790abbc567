/** The events of a Worker, which are the lines of its log, and the events that docs/events.md lists. */

import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';

import { ROOT } from './worker.mjs';

/** Each event has these beside its own. */
const COMMON = { event: 'text', request: 'text', version: 'text' };

/** @typedef {{ event: string } & Record<string, string | number | boolean>} Event */

/** The fields and their types, by event. @type {Map<string, Record<string, string>>} */
export const KNOWN = new Map();
for (const part of readFileSync(join(ROOT, 'docs/events.md'), 'utf8').split('\n### `').slice(1)) {
  const rows = [...part.matchAll(/^\| `(\w+)` \| (\w+) \|/gm)];
  KNOWN.set(part.slice(0, part.indexOf('`')), Object.fromEntries(rows.map(([, name, type]) => [name, type])));
}

/** The lines of a Worker's log, without the marks of the harness. @param {{ log: string }} worker */
export function linesOf({ log }) {
  return log.split('\n').filter((line) => line !== '' && !/^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/.test(line));
}

/** The events among the lines: the runtime has lines of its own where a response breaks off. @param {{ log: string }} worker @returns {Event[]} */
export function eventsOf(worker) {
  return linesOf(worker)
    .filter((line) => line.startsWith('{"event":'))
    .map((line) => JSON.parse(line));
}

/** Fails unless the line is an event with known fields, each of its type. @param {string} line */
export function assertEvent(line) {
  /** @type {Event} */
  const event = JSON.parse(line);
  const fields = KNOWN.get(event.event);
  assert.ok(fields, `an unknown event: ${line}`);
  for (const [name, value] of Object.entries(event)) {
    /** @type {string | undefined} */
    const type = { ...COMMON, ...fields }[name];
    /** @type {string | undefined} */
    const expected = type === 'text' || type === 'user' ? 'string' : type;
    assert.equal(typeof value, expected, `${name} is no ${type}: ${line}`);
    if (type === 'user') assert.match(String(value), /^[0-9a-f]{16}$/);
  }
}
