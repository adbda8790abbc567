/** The longest file that an import takes. */

import assert from 'node:assert/strict';
import { test } from 'node:test';

import { add, newcomer } from './support/expenses.mjs';
import { startWorld } from './support/world.mjs';

const ROWS_MAX = 10_000;
/** Long before the Worker gives the ledger up. */
const IMPORT_MAX_MS = 8_000;

const world = await startWorld();

/** @param {import('./support/actors.mjs').Actor} actor @param {string} file */
function post(actor, file) {
  return actor.request('POST', '/expenses/import', { body: file, headers: { 'content-type': 'text/csv' } });
}

/** @param {import('./support/actors.mjs').Actor} actor @param {string} file */
async function imported(actor, file) {
  const answer = await post(actor, file);
  assert.equal(answer.status, 200, `${answer}`);
  return answer.json;
}

test('the longest file is imported at once, and other writes go on', async (t) => {
  const actor = newcomer(world);
  const day = (/** @type {number} */ index) => String(1 + (index % 28)).padStart(2, '0');
  const rows = Array.from(
    { length: ROWS_MAX },
    (_, index) => `2026-01-${day(index)},row ${index},${index + 1}.25,EUR\n`,
  );
  const file = `date,description,amount,currency\n${rows.join('')}`;
  const before = performance.now();
  assert.deepEqual(await imported(actor, file), { added: ROWS_MAX, unchanged: 0, skipped: 0 });
  const millis = performance.now() - before;
  t.diagnostic(`${ROWS_MAX} rows, ${Math.round(file.length / 1000)} kB: ${Math.round(millis)} ms`);
  assert.ok(millis < IMPORT_MAX_MS, `${millis} ms`);
  const { id } = await add(actor, { description: 'meanwhile' });
  const csv = await actor.request('GET', '/expenses.csv');
  assert.equal(new Set(csv.text.split('\r\n')).size, ROWS_MAX + 3, 'the header, the rows and an empty end');
  assert.equal((await actor.request('DELETE', `/expenses/${id}`)).status, 204);
  assert.deepEqual(await imported(actor, file), { added: 0, unchanged: ROWS_MAX, skipped: 0 });
  const summary = await actor.request('GET', '/expenses/summary');
  assert.equal(summary.json.currencies[0].count, ROWS_MAX);
  const longer = await post(actor, `${file}2026-01-01,one more,1,EUR\n`);
  assert.equal(longer.status, 422, `${longer}`);
  const full = await post(actor, file.replaceAll('row ', 'other '));
  assert.equal(full.status, 503, `${full}`);
  assert.equal(full.header('retry-after'), '600');
});
