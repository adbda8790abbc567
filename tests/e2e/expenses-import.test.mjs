/** `POST /expenses/import`: CSV files of this Worker and of other programs, by text and by a form. */

import assert from 'node:assert/strict';
import { test } from 'node:test';

import { assertUnauthorized } from './support/assertions.mjs';
import { add, list, newSub, newcomer } from './support/expenses.mjs';
import { startWorld } from './support/world.mjs';

const BANK =
  'Buchungstag;Verwendungszweck;Betrag;Währung\n23.11.2026;Bäckerei;-4,50;EUR\n24.11.2026;Zug;-1.234,50;EUR\n';

const world = await startWorld({ isolates: [{}, {}], kvLagMs: 60_000 });
const [, elsewhere] = world.worker.isolates;

/** @typedef {import('./support/actors.mjs').Actor} Actor */

/** @param {Actor} actor @param {string} file */
function post(actor, file, query = '') {
  return actor.request('POST', `/expenses/import${query}`, { body: file, headers: { 'content-type': 'text/csv' } });
}

/** @param {Actor} actor @param {string} file */
async function imported(actor, file, query = '') {
  const answer = await post(actor, file, query);
  assert.equal(answer.status, 200, `${answer}`);
  return answer.json;
}

/** @param {Actor} actor */
async function exported(actor) {
  const answer = await actor.request('GET', '/expenses.csv');
  assert.equal(answer.status, 200, `${answer}`);
  return answer.text;
}

test('an export is imported unchanged into another account', async () => {
  const [actor, other] = [newcomer(world), newcomer(world)];
  await add(actor, { description: '=1+1; "x"\nline', amount: '1.234', currency: 'BHD', category: "'+a" });
  await add(actor, { description: 'Überweg 🍜', amount: 9.5, date: '2020-02-29' });
  const file = await exported(actor);
  assert.deepEqual(await imported(other, file), { added: 2, unchanged: 0, skipped: 0 });
  assert.equal(await exported(other), file);
  assert.deepEqual(await imported(actor, file), { added: 0, unchanged: 2, skipped: 0 });
  assert.equal(await exported(actor), file);
});

test('a file is imported once, whatever location reads it again', async () => {
  const sub = newSub();
  const [actor, far] = [newcomer(world, sub), newcomer(world, sub, elsewhere)];
  assert.deepEqual(await imported(actor, BANK, '?amounts=negative'), { added: 2, unchanged: 0, skipped: 0 });
  // KV shows the rows nowhere yet, and the ledger to everybody.
  assert.deepEqual(
    (await list(far)).map(({ description, amount, date }) => [description, amount, date]),
    [
      ['Zug', 1234.5, '2026-11-24'],
      ['Bäckerei', 4.5, '2026-11-23'],
    ],
  );
  assert.deepEqual(await imported(far, BANK, '?amounts=negative'), { added: 0, unchanged: 2, skipped: 0 });
});

test('a file of a program comes in a form too', async () => {
  const actor = newcomer(world);
  const form = new FormData();
  form.set('file', new Blob([BANK], { type: 'text/csv' }), 'bank "1".csv');
  form.set('amounts', 'negative');
  const encoded = new Response(form);
  const answer = await actor.request('POST', '/expenses/import', {
    body: await encoded.text(),
    headers: { 'content-type': encoded.headers.get('content-type') ?? '' },
  });
  assert.equal(answer.status, 200, `${answer}`);
  assert.deepEqual(answer.json, { added: 2, unchanged: 0, skipped: 0 });
});

test('faults refuse the file, and strangers get in nowhere', async () => {
  const actor = newcomer(world);
  const answer = await post(actor, BANK);
  assert.equal(answer.status, 422, `${answer}`);
  assert.deepEqual(
    answer.json.detail.map((/** @type {{ loc: unknown[] }} */ { loc }) => loc),
    [
      ['body', 2, 'amount'],
      ['body', 3, 'amount'],
    ],
  );
  assert.deepEqual(await list(actor), []);
  assertUnauthorized(await post(world.anonymous(), BANK));
  const browser = world.browser();
  await browser.signIn('Ada');
  const body = `--b\r\nContent-Disposition: form-data; name="file"; filename="a"\r\n\r\n${BANK}\r\n--b--\r\n`;
  const foreign = await browser.request('POST', '/expenses/import', {
    body,
    headers: {
      'content-type': 'multipart/form-data; boundary=b',
      'sec-fetch-site': 'cross-site',
      origin: 'https://evil.example',
    },
  });
  assert.equal(foreign.status, 403, `${foreign}`);
});
