/** `POST /webhooks/workos`, signed by the local AuthKit and by WorkOS's own SDK. */

import assert from 'node:assert/strict';
import { test } from 'node:test';

import { WorkOS } from '@workos-inc/node';

import { assertDetail, assertUnauthorized, assertUnavailable } from './support/assertions.mjs';
import { add, idAt, list, newSub, newcomer, sendText, stored } from './support/expenses.mjs';
import { present } from './support/values.mjs';
import { startWorld } from './support/world.mjs';

const PATH = '/webhooks/workos';
const SECRET = 'whsec_of_the_endpoint_of_these_tests';
const OTHER_SECRET = 'whsec_of_another_endpoint_altogether';
const NOON = 1_700_000_000_000;

/** WorkOS's own SDK. */
const official = new WorkOS('sk_test_unused', { clientId: 'client_unused' }).webhooks;

const world = await startWorld({ vars: { WORKOS_WEBHOOK_SECRET: SECRET } });
const { authkit, worker } = world;
for (const secret of [SECRET, OTHER_SECRET]) world.keepSecret(secret, 'a webhook secret');
await worker.limitTimers(20);
authkit.settings.webhook = { url: worker.url(PATH), secret: SECRET };

/** @param {string} name @param {string} userId */
function eventOf(name, userId) {
  return authkit.webhooks.event(name, {
    object: 'user',
    id: userId,
    first_name: 'Zażółć 🍜',
    email: 'someone@example.com',
  });
}

/** @typedef {Pick<import('../../local/authkit/webhooks.mjs').Event, 'event' | 'data'>} Event */

/**
 * The header that WorkOS's SDK makes.
 *
 * @param {Event} event
 * @param {{ secret?: string, time?: number }} [options]
 */
async function sign(event, { secret = SECRET, time = world.now() } = {}) {
  return `t=${time}, v1=${await official.computeSignature(time, event, secret)}`;
}

/**
 * @param {Event} event
 * @param {string} [signature]
 * @param {import('./support/actors.mjs').RequestOptions & { worker?: import('./support/worker.mjs').Isolate }} [options]
 */
function post(event, signature, { worker: isolate, ...options } = {}) {
  const headers = { 'content-type': 'application/json', 'workos-signature': signature };
  return world.anonymous(isolate).request('POST', PATH, { body: JSON.stringify(event), headers, ...options });
}

/** @param {string} sub */
async function keysOf(sub) {
  const kv = await worker.kv();
  const names = [];
  for (const prefix of [`expense:${sub}:`, `idempotency:${sub}:`]) {
    /** @type {string | undefined} */
    let cursor;
    do {
      const page = await kv.list({ prefix, cursor });
      names.push(...page.keys.map(({ name }) => name));
      cursor = page.list_complete ? undefined : page.cursor;
    } while (cursor !== undefined);
  }
  return names;
}

test('without a secret there is no such path', async () => {
  const other = await world.startWorker();
  const event = eventOf('user.deleted', newSub());
  const answer = await post(event, await sign(event), { worker: other });
  assertDetail(answer, 404);
  assert.equal(answer.text, (await world.anonymous(other).request('POST', '/webhooks/elsewhere')).text);
});

test("signatures are accepted exactly as by WorkOS's SDK", async () => {
  const event = eventOf('user.updated', newSub());
  const now = world.now();
  const good = await sign(event, { time: now });
  const [t, v1] = good.split(', ');
  /** @type {[string | undefined, boolean][]} */
  const signatures = [
    [good, true],
    [`${v1},${t}`, true],
    [`${t}, v1=${'0'.repeat(64)}, ${v1}`, true],
    [await sign(event, { time: now - 170_000 }), true],
    [await sign(event, { time: now - 190_000 }), false],
    [await sign(event, { time: now + 190_000 }), false],
    [await sign(event, { secret: OTHER_SECRET }), false],
    [await sign({ ...event, event: 'user.deleted' }), false],
    [`${t}, v1=${'0'.repeat(64)}`, false],
    [t, false],
    [v1, false],
    ['', false],
    [undefined, false],
  ];
  for (const [signature, isGood] of signatures) {
    const answer = await post(event, signature);
    if (isGood) assert.equal(answer.status, 200, `${signature}: ${answer}`);
    else assertDetail(answer, 400, /signature/i);
  }
  const body = JSON.stringify(event);
  assertDetail(await post(event, good, { body: body.replace('someone', 'someonf') }), 400);
  assertDetail(await post(event, good, { body: Buffer.concat([Buffer.from(body), Buffer.from([0])]) }), 400);
  assert.equal((await post(event, good, { body, chunked: true })).status, 200);
});

test("user.deleted removes the user's expenses and ends sessions", async () => {
  const browser = await world.signedIn('Grace');
  const { id: sub } = (await browser.request('GET', '/me')).json.user;
  const token = authkit.mintToken({ claims: { sub } });
  await add(browser, { description: 'one' });
  await sendText(browser, 'POST', '/expenses', '{"description": "two", "amount": 2}', { 'idempotency-key': 'key' });
  const neighbour = newcomer(world, `${sub}x`);
  const kept = await add(neighbour);
  await worker.settle();
  assert.equal((await keysOf(sub)).length, 2);

  const event = authkit.deleteUser(sub);
  const answer = present(await authkit.webhooks.deliver(event));
  assert.equal(answer.status, 200, await answer.text());
  await worker.settle();
  assert.deepEqual(await keysOf(sub), []);
  assert.deepEqual(await list(neighbour), [kept]);

  // Until it expires the token reads, and brings nothing back by it.
  const bearer = world.bearer(token);
  assert.deepEqual(await list(bearer), []);
  assert.equal((await bearer.request('GET', '/expenses/summary')).text, '{"currencies":[]}');
  assert.deepEqual(await keysOf(sub), []);
  assert.equal((await authkit.webhooks.deliver(event))?.status, 200, 'again');
  await world.expire();
  assertUnauthorized(await browser.request('GET', '/expenses'));
});

test('a large account is deleted in several runs', async () => {
  const sub = newSub();
  const other = newcomer(world);
  const kept = await add(other);
  await worker.seedKv(Array.from({ length: 2_000 }, (_, index) => stored(sub, idAt(NOON + index))));
  const event = eventOf('user.deleted', sub);
  assert.equal((await post(event, await sign(event))).status, 200);
  assert.deepEqual(await list(newcomer(world, sub)), [], 'at once');
  for (let runs = 0; (await keysOf(sub)).length > 0; runs += 1) {
    assert.ok(runs < 10, 'after ten runs');
    await worker.settle();
    await world.advanceClock(60);
    await worker.settle();
  }
  assert.deepEqual(await list(other), [kept]);
});

test('a KV failure delays the deletion of keys, which succeeds', async (t) => {
  t.after(() => worker.failKv());
  const sub = newSub();
  const actor = newcomer(world, sub);
  await add(actor);
  await worker.settle();
  await worker.failKv('list', 'delete');
  const event = eventOf('user.deleted', sub);
  assert.equal((await post(event, await sign(event))).status, 200);
  assert.deepEqual(await list(actor), [], 'at once');
  await worker.settle();
  await worker.failKv();
  assert.equal((await keysOf(sub)).length, 1);
  await world.advanceClock(600);
  await worker.settle();
  assert.deepEqual(await keysOf(sub), []);
});

test('an event without the ledger asks for another delivery', async (t) => {
  t.after(() => worker.failObjects());
  const sub = newSub();
  const actor = newcomer(world, sub);
  await add(actor);
  const event = eventOf('user.deleted', sub);
  await worker.failObjects('LEDGER');
  const answer = await post(event, await sign(event));
  assertUnavailable(answer);
  assert.doesNotMatch(answer.text, /KV|Object|500|user_/, 'nothing of the inside');
  await worker.failObjects();
  assert.equal((await list(actor)).length, 1);
  assert.equal((await post(event, await sign(event))).status, 200);
  assert.deepEqual(await list(actor), []);
});

test('an event is read up to its maximum length', async () => {
  const event = { event: 'dsync.user.updated', data: { raw_attributes: 'é'.repeat(120_000) } };
  assert.equal((await post(event, await sign(event))).status, 200);
  const longer = { ...event, data: { raw_attributes: 'é'.repeat(140_000) } };
  for (const chunked of [false, true]) assertDetail(await post(longer, await sign(longer), { chunked }), 413);
});

test('no answer and no log line holds a secret', () => world.assertNothingLeaked());
