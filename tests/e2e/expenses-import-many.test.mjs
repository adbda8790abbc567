/** The longest files that an import takes: their time, and their memory, which an isolate has for all of its requests. */

import assert from 'node:assert/strict';
import { test } from 'node:test';

import { add, newcomer } from './support/expenses.mjs';
import { startWorld } from './support/world.mjs';

const ROWS_MAX = 10_000;
/** Long before the Worker gives the ledger up. */
const IMPORT_MAX_MS = 8_000;

/** What an isolate may use in all, JavaScript's memory included. */
const ISOLATE_MAX_BYTES = 128 * 1024 * 1024;
/** More files than an isolate has room for. */
const FILES = 16;
/** What it has room for. */
const ROOM = 3;

const world = await startWorld();

/** As many bytes as a file can have, about: each description is as long as it can be. @param {string} [amount] */
function largestFile(amount = 'amount') {
  const row = (/** @type {number} */ index) =>
    `2026-01-01,${index} ${'😀'.repeat(150)},${index + 1}.25,USD,${'é'.repeat(20)}\n`;
  const rows = Array.from({ length: ROWS_MAX }, (_, index) => row(index));
  return `date,description,${amount},currency,category\n${rows.join('')}`;
}

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

test('files at once have bounded memory', async (t) => {
  const file = largestFile('unknown');
  const answers = await Promise.all(Array.from({ length: FILES }, () => post(newcomer(world), file)));
  const { memoryBytes } = await world.worker.use();
  const refused = answers.filter(({ status }) => status === 503);
  t.diagnostic(`${FILES} files of ${Buffer.byteLength(file)} bytes: ${refused.length} refused, ${memoryBytes} bytes`);
  for (const answer of refused) assert.equal(answer.header('retry-after'), '5', `${answer}`);
  const read = answers.filter(({ status }) => status === 422);
  assert.equal(read.length + refused.length, FILES, 'no column has the amount');
  assert.ok(read.length >= ROOM && refused.length > 0, `${answers.map(({ status }) => status)}`);
  assert.ok(memoryBytes < ISOLATE_MAX_BYTES / 4, `${memoryBytes} bytes`);
});

test('the largest file has bounded memory', async (t) => {
  const file = largestFile();
  assert.deepEqual(await imported(newcomer(world), file), { added: ROWS_MAX, unchanged: 0, skipped: 0 });
  // The ledger, which has a memory of its own elsewhere, is in the same isolate here.
  const { memoryBytes } = await world.worker.use();
  t.diagnostic(`a file of ${Buffer.byteLength(file)} bytes: ${memoryBytes} bytes`);
  assert.ok(memoryBytes < (3 / 8) * ISOLATE_MAX_BYTES, `${memoryBytes} bytes`);
});

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
