/** A deleted expense comes back, by the API and by the message of a page, which is shown once. */

import assert from 'node:assert/strict';
import { test } from 'node:test';

import { NO_SUCH_ID, add, list, newcomer } from './support/expenses.mjs';
import { startWorld } from './support/world.mjs';

const world = await startWorld({ isolates: [{}, {}], kvLagMs: 60_000 });
const [, elsewhere] = world.worker.isolates;

test('a deleted expense is restored from another location', async () => {
  const actor = newcomer(world);
  const expense = await add(actor, { description: 'Train', amount: 42.5, category: 'travel' });
  const path = `/expenses/${expense.id}`;
  assert.equal((await actor.request('DELETE', path)).status, 204);
  assert.deepEqual(await list(actor), []);
  const restored = await actor.request('POST', `${path}/restore`);
  assert.equal(restored.status, 200, `${restored}`);
  assert.deepEqual({ ...restored.json, updated_at: expense.updated_at }, expense);
  assert.equal(restored.headers.etag, (await actor.request('GET', path)).headers.etag);
  const again = await actor.request('POST', `${path}/restore`);
  assert.equal(again.status, 200, `${again}`);
  assert.deepEqual(await list(actor), [restored.json]);
});

test('nothing is restored that was not deleted by this user', async () => {
  const actor = newcomer(world);
  const { id } = await add(actor);
  assert.equal((await actor.request('DELETE', `/expenses/${id}`)).status, 204);
  for (const [who, absent] of /** @type {const} */ ([
    [newcomer(world), id],
    [actor, NO_SUCH_ID],
    [actor, 'unknown'],
  ])) {
    const answer = await who.request('POST', `/expenses/${absent}/restore`);
    assert.equal(answer.status, 404, `${answer}`);
  }
});

test('the message after a form is shown once, and undoes a deletion', async () => {
  const browser = world.browser();
  await browser.signIn('Ada');
  const empty = await browser.open('/expenses');
  const fill = { description: 'Undone', amount: '7', date: '2026-01-31', category: 'meals' };
  const added = await browser.submit(empty, 'Add expense', { fill });
  assert.match(added.text, /role="status"><p id="notice">Added “<bdi>Undone<\/bdi>”/);
  assert.equal(added.url.search, '');
  for (const kept of ['value="2026-01-31"', 'value="meals"', 'autofocus']) assert.ok(added.text.includes(kept), kept);
  assert.doesNotMatch((await browser.open('/expenses')).text, /role="status"/);

  const [, id] = added.text.match(/\/expenses\/([0-9A-Z]{26})\/delete/) ?? [];
  const deleted = await browser.submit(await browser.open(`/expenses/${id}/delete`), 'Delete');
  assert.match(deleted.text, /Deleted “<bdi>Undone<\/bdi>”/);
  // The isolate elsewhere asks the same ledger.
  const page = await browser.at(elsewhere).submit(deleted, 'Undo');
  assert.match(page.text, /Restored “<bdi>Undone<\/bdi>”/);
  assert.ok(page.text.includes(`/expenses/${id}/delete`));
});
