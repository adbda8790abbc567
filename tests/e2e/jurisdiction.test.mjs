/** `DATA_JURISDICTION`: in a jurisdiction a name is another object, whose rows are empty. */

import assert from 'node:assert/strict';
import { test } from 'node:test';

import { startWorld } from './support/world.mjs';

const world = await startWorld({
  isolates: [{}, { DATA_JURISDICTION: 'eu' }, { DATA_JURISDICTION: 'mars' }, { DATA_JURISDICTION: '' }],
});
const [nowhere, eu, mars, empty] = world.worker.isolates;

test('ledger in a jurisdiction has rows of its own', async () => {
  const browser = await world.signedIn('Ada', nowhere);
  // KV has none of the writes, so that lists show what the ledger alone has.
  await world.worker.failKv('put');
  const description = 'Before the change';
  const created = await browser.at(nowhere).request('POST', '/expenses', { json: { description, amount: 1 } });
  assert.equal(created.status, 201, `${created}`);
  const seen = async (/** @type {typeof eu} */ isolate) =>
    (await browser.at(isolate).request('GET', '/expenses')).json.map((/** @type {any} */ each) => each.description);
  assert.deepEqual(await seen(nowhere), [description]);
  assert.deepEqual(await seen(empty), [description], 'an empty value counts as absent');
  assert.deepEqual(await seen(eu), []);

  const inEu = await browser.at(eu).request('POST', '/expenses', { json: { description: 'In the EU', amount: 1 } });
  assert.equal(inEu.status, 201, `${inEu}`);
  assert.deepEqual(await seen(eu), ['In the EU']);
  assert.deepEqual(await seen(nowhere), [description]);
});

test('unknown jurisdiction refuses every request', async () => {
  const response = await world.anonymous(mars).request('GET', '/health');
  assert.equal(response.status, 500, `${response}`);
  assert.match(response.json.detail, /DATA_JURISDICTION must be eu, fedramp or us/);
});
