/** `Idempotency-Key`: a create that is tried again makes one expense. */

import assert from 'node:assert/strict';
import { test } from 'node:test';

import { assertDetail, assertProblems, assertUnavailable } from './support/assertions.mjs';
import { descriptions, list, newSub, newcomer, sendText } from './support/expenses.mjs';
import { startWorld } from './support/world.mjs';

const LUNCH = '{"description": "Team lunch", "amount": 42.5, "category": "meals"}';
const DINNER = '{"description": "Dinner", "amount": 7}';
const DAY_SECS = 24 * 60 * 60;

const world = await startWorld({ isolates: [{}, {}] });
const { worker } = world;
/** One that has seen nothing of what the first has done, and finds it in KV or not at all. */
const [, elsewhere] = worker.isolates;

/** @param {import('./support/actors.mjs').Actor} actor @param {string} key */
function create(actor, key, body = LUNCH) {
  return sendText(actor, 'POST', '/expenses', body, { 'idempotency-key': key });
}

/** 422 for a key that came with another body before. @param {import('./support/http.mjs').Answer} answer */
function assertKeyReused(answer) {
  assertProblems(answer, [['value_error', 'header', 'idempotency-key']]);
  assert.match(answer.json.detail[0].msg, /new key/);
}

/** A create that has succeeded. @param {import('./support/actors.mjs').Actor} actor @param {string} key */
async function created(actor, key, body = LUNCH) {
  const answer = await create(actor, key, body);
  assert.equal(answer.status, 201, `${answer}`);
  return answer.json;
}

test('the same key and body make one expense', async () => {
  const sub = newSub();
  const actor = newcomer(world, sub);
  const first = await create(actor, 'key-1');
  assert.equal(first.status, 201, `${first}`);
  await world.advanceClock(3_600);
  const again = newcomer(world, sub);
  // The same, written otherwise.
  for (const body of [LUNCH, '{"category":"meals","amount":42.5,\n  "description":"Team lunch"}']) {
    for (const who of [again, newcomer(world, sub, elsewhere)]) {
      const second = await create(who, 'key-1', body);
      assert.equal(second.status, 201, `${second}`);
      assert.equal(second.text, first.text);
      assert.equal(second.headers.location, first.headers.location);
    }
  }
  assert.deepEqual(await list(again), [first.json]);
});

test('the same key with another body is refused', async () => {
  const sub = newSub();
  const actor = newcomer(world, sub);
  const first = await created(actor, 'key');
  for (const body of [DINNER, LUNCH.replace('42.5', '42.6'), '{"description": "Team lunch", "amount": 42.5}']) {
    for (const who of [actor, newcomer(world, sub, elsewhere)]) {
      assertKeyReused(await create(who, 'key', body));
    }
  }
  assert.deepEqual(await list(actor), [first]);
});

test('other keys, and none, make expenses of their own', async () => {
  const actor = newcomer(world);
  await created(actor, 'a');
  await created(actor, 'A');
  await sendText(actor, 'POST', '/expenses', LUNCH);
  await sendText(actor, 'POST', '/expenses', LUNCH);
  const ids = (await list(actor)).map(({ id }) => id);
  assert.equal(new Set(ids).size, 4);
});

test("a key is one user's", async () => {
  const [ada, grace] = [newcomer(world), newcomer(world)];
  const [adas, graces] = [await created(ada, 'key', LUNCH), await created(grace, 'key', DINNER)];
  assert.deepEqual(await list(ada), [adas]);
  assert.deepEqual(await list(grace), [graces]);
  // Nor does a subject that looks like another's prefix and key reach it.
  const sub = newSub();
  const owner = newcomer(world, sub);
  await created(owner, 'x:y');
  for (const other of [`${sub}:x`, `${sub}/x:y`, `${sub}:`]) await created(newcomer(world, other), 'x:y', DINNER);
  assert.deepEqual(await descriptions(owner), ['Team lunch']);
});

test('a key names its expense for 24 hours', async () => {
  const sub = newSub();
  const first = await created(newcomer(world, sub), 'key');

  await world.advanceClock(DAY_SECS - 60);
  assert.equal((await created(newcomer(world, sub), 'key')).id, first.id);
  assertKeyReused(await create(newcomer(world, sub), 'key', DINNER));

  await world.advanceClock(61);
  const second = await created(newcomer(world, sub), 'key', DINNER);
  assert.notEqual(second.id, first.id);
  assert.deepEqual(await descriptions(newcomer(world, sub)), ['Dinner', 'Team lunch']);
});

for (const [what, key, type] of [
  ['nothing in it', '', 'string_too_short'],
  ['256 characters', 'k'.repeat(256), 'string_too_long'],
  ['an umlaut', 'schlüssel', 'string_pattern_mismatch'],
  ['a tab', 'a\tb', 'string_pattern_mismatch'],
]) {
  test(`an Idempotency-Key with ${what} is refused`, async () => {
    const actor = newcomer(world);
    const answer = await create(actor, key);
    assertProblems(answer, [[type, 'header', 'idempotency-key']]);
    assert.deepEqual(await list(actor), []);
  });
}

test('a key of 255 printable characters is one', async () => {
  const actor = newcomer(world);
  const printable = Array.from({ length: 95 }, (_, index) => String.fromCharCode(32 + index))
    .join('')
    .trim();
  for (const key of ['k', 'k'.repeat(255), printable, '"quoted"']) {
    const { id } = await created(actor, key);
    assert.equal((await created(actor, key)).id, id, key);
  }
  assert.equal((await list(actor)).length, 4);
});

test('a refused body does not use its key up', async () => {
  const actor = newcomer(world);
  assert.equal((await create(actor, 'key', '{"description": "x"}')).status, 422);
  assert.equal((await create(actor, 'key', '{')).status, 422);
  assert.equal((await create(actor, 'key', 'x'.repeat(65_537))).status, 413);
  await created(actor, 'key');
  // Nor is a refusal kept for later: what is wrong stays wrong, and says why.
  assertKeyReused(await create(actor, 'key', DINNER));
  assert.equal((await create(actor, 'key', '{"amount": 1}')).status, 422);
});

test('a second try changes nothing back', async () => {
  const actor = newcomer(world);
  const { id } = await created(actor, 'key');
  const changed = await actor.request('PATCH', `/expenses/${id}`, { json: { amount: 1 } });
  assert.equal(changed.status, 200);
  assert.equal((await created(actor, 'key')).amount, 42.5, 'the answer is the first one');
  assert.deepEqual(await list(actor), [changed.json]);
});

test('create repeated after a lost response makes one expense', async (t) => {
  t.after(() => worker.loseObjectResponses());
  const actor = newcomer(world);
  await worker.loseObjectResponses('LEDGER');
  assertUnavailable(await create(actor, 'key'));
  await worker.loseObjectResponses();
  const expense = await created(actor, 'key');
  assert.equal((await created(actor, 'key')).id, expense.id);
  assert.deepEqual(await list(actor), [expense]);
});

test('deleted expense stays deleted when its key is repeated', async () => {
  const sub = newSub();
  const { id } = await created(newcomer(world, sub), 'key');
  await world.advanceClock(11 * 60);
  const later = newcomer(world, sub);
  assert.equal((await later.request('DELETE', `/expenses/${id}`)).status, 204);
  assert.equal((await created(later, 'key')).id, id);
  assertDetail(await later.request('GET', `/expenses/${id}`), 404);
  assert.deepEqual(await list(later), []);
});

test('concurrent creates with one key make one expense', async () => {
  const sub = newSub();
  const actors = [newcomer(world, sub), newcomer(world, sub, elsewhere)];
  const tries = Array.from({ length: 20 }, (_, index) => create(actors[index % 2], 'key'));
  const answers = await Promise.all(tries);
  for (const answer of answers) assert.equal(answer.status, 201, `${answer}`);
  assert.equal(new Set(answers.map(({ json }) => json.id)).size, 1);
  assert.equal((await list(actors[0])).length, 1);
});

test('no answer and no log line holds a secret', () => world.assertNothingLeaked());
