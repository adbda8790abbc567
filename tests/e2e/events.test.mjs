/** The lines that workerd writes: each is an event with known fields, and none has a secret or a user's data. */

import assert from 'node:assert/strict';
import { createHmac, hkdfSync } from 'node:crypto';
import { after, test } from 'node:test';

import { KNOWN, assertEvent, eventsOf, linesOf } from './support/events.mjs';
import { newcomer } from './support/expenses.mjs';
import { startWorld } from './support/world.mjs';

const RAY = '9a2b3c4d5e6f7a8b-TST';
const MARKS = ['31337.17', 'A marked description', 'a-marked-', 'ada@example.com', 'user_', 'session_01', '?code='];

const world = await startWorld();
const counting = await world.startWorker({ counts: true });
after(() => world.stop());
const { worker } = world;

/** The events of a Worker since a call. @param {() => Promise<unknown>} act @param {typeof worker} [of] */
async function during(act, of = worker) {
  await of.flushLog();
  const before = of.streams;
  await act();
  await of.settle();
  await of.flushLog();
  return eventsOf({ log: of.streams.map((text, index) => text.slice(before[index].length)).join('') });
}

/** The pseudonym of a user. @param {string} id */
function pseudonym(id) {
  const key = hkdfSync('sha256', world.cookiePassword, '', 'authkit-edge/user-hash/v1', 32);
  return createHmac('sha256', Buffer.from(key)).update(id).digest('hex').slice(0, 16);
}

test('docs/events.md lists more than thirty events', () => assert.ok(KNOWN.size > 30, `${[...KNOWN.keys()]}`));

test('request has one line with route, waits and version', async () => {
  const actor = newcomer(world);
  const made = await actor.request('POST', '/expenses', { json: { description: 'Lunch', amount: 31337.17 } });
  const path = new URL(String(made.headers.location), worker.origin).pathname;
  const events = await during(() =>
    actor.request('GET', `${path}?ada@example.com`, { headers: { 'cf-ray': RAY } }).then((answer) => {
      assert.match(String(answer.headers['server-timing']), /^kv;dur=\d+, ledger;dur=\d+$/);
    }),
  );
  assert.equal(events.length, 1, JSON.stringify(events));
  const { version, user, ms, kv_ms, ledger_ms, ...rest } = events[0];
  assert.match(String(version), /^[0-9a-f-]{36}$/);
  assert.match(String(user), /^[0-9a-f]{16}$/);
  for (const time of [ms, kv_ms, ledger_ms]) assert.ok(Number(time) >= 0 && Number(time) < 5_000, `${time}`);
  assert.deepEqual(rest, {
    event: 'request',
    request: RAY,
    method: 'GET',
    route: '/expenses/{id}',
    status: 200,
    kv_ops: 1,
    ledger_ops: 1,
  });
});

test('isolate that starts says what is not configured', async () => {
  const misconfigured = await world.startWorker({ vars: { WORKOS_API_KEY: undefined } });
  await misconfigured.flushLog();
  const events = eventsOf(misconfigured);
  assert.deepEqual(
    events.map(({ event }) => event),
    ['misconfigured'],
  );
  assert.match(String(events[0].cause), /WORKOS_API_KEY/);
});

test('health leaves a line once for each isolate', async () => {
  const path = `/health?${crypto.randomUUID()}`;
  const ask = () => world.anonymous().request('GET', path);
  assert.equal((await during(ask)).length, 1);
  assert.deepEqual(await during(ask), []);
});

test('sessions, refusals and outages leave their events', async () => {
  const events = await during(async () => {
    const browser = await world.signedIn('Ada');
    await world.expire();
    await browser.request('GET', '/me');
    await world.expire();
    await world.withoutAuthKit(async () => void (await browser.request('GET', '/me')));
    await browser.request('POST', '/logout', { headers: { 'sec-fetch-site': 'same-origin' } });
    await world.bearer('a-marked-token').request('GET', '/me');
    await world.anonymous().request('GET', '/callback?code=a-marked-code&state=a-marked-state');
  });
  const named = (/** @type {string} */ name) => events.filter(({ event }) => event === name);
  const ada = pseudonym(world.authkit.users.find(({ email }) => email === 'ada@example.com')?.id ?? '');
  for (const name of ['signed_in', 'session_renewed', 'renewal_failed', 'session_ended'])
    assert.deepEqual(
      named(name).map(({ user }) => user),
      [ada],
      `${name} in ${JSON.stringify(events)}`,
    );
  assert.ok(named('workos_failed').some(({ operation }) => operation === 'authenticate'));
  assert.deepEqual(named('credentials_refused').at(-1)?.reason, 'malformed');
  assert.deepEqual(named('sign_in_restarted').at(-1)?.reason, 'unknown');
});

test('ledger reports a deferred write by the same pseudonym', async (t) => {
  t.after(() => worker.failKv());
  const browser = await world.signedIn('Grace');
  await worker.failKv('put');
  const events = await during(() =>
    browser.request('POST', '/expenses', { json: { description: 'A marked description', amount: 31337.17 } }),
  );
  const [request] = events.filter(({ event }) => event === 'request');
  const [deferred] = events.filter(({ event }) => event === 'kv_deferred');
  assert.deepEqual(
    { ...deferred, version: request.version },
    {
      event: 'kv_deferred',
      version: request.version,
      user: request.user,
      operation: 'put',
      kind: 'unavailable',
    },
  );
});

test('dataset counts each event where one is bound', async () => {
  await counting.kv();
  await world.anonymous(counting).request('GET', '/nowhere');
  const [point] = (await counting.points()).filter(({ blobs }) => blobs[3] === '');
  assert.deepEqual(point.indexes, ['request']);
  assert.deepEqual([point.blobs[0], point.blobs[2], point.doubles[0]], ['request', 'GET', 404]);
  assert.match(point.blobs[1], /^[0-9a-f-]{36}$/);
  assert.equal(point.doubles.length, 10);
  assert.deepEqual(await worker.points(), []);
});

test('each line is a known event without secrets', async () => {
  await worker.flushLog();
  await counting.flushLog();
  const lines = [worker, counting].flatMap(linesOf);
  assert.ok(lines.length > 20, `${lines.length}`);
  for (const line of lines) {
    assertEvent(line);
    for (const mark of MARKS) assert.ok(!line.includes(mark), `${mark} is in ${line}`);
  }
});

test('no answer and no log line holds a secret', () => world.assertNothingLeaked());
