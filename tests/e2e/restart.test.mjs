import assert from 'node:assert/strict';
import { test } from 'node:test';

import { assertDetail } from './support/assertions.mjs';
import { present } from './support/values.mjs';
import { SESSION_COOKIE, startWorld } from './support/world.mjs';

const world = await startWorld();

/** The Worker ends, and another begins with the same variables and the same KV. */
async function restart() {
  const { kvFolder } = world.worker;
  await world.worker.stop();
  world.worker = await world.startWorker({ kvFolder });
}

test('expenses and sessions outlive the Worker', async () => {
  const [ada, grace] = [await world.signedIn('Ada'), await world.signedIn('Grace')];
  for (let number = 1; number <= 5; number += 1) {
    const json = { description: `number ${number}`, amount: number, category: 'meals', date: '2026-01-31' };
    assert.equal((await ada.request('POST', '/expenses', { json })).status, 201);
  }
  assert.equal((await grace.request('POST', '/expenses', { json: { description: "Grace's", amount: 7 } })).status, 201);
  const deleted = (await ada.request('GET', '/expenses?limit=1')).json[0].id;
  assert.equal((await ada.request('DELETE', `/expenses/${deleted}`)).status, 204);
  const before = (await ada.request('GET', '/expenses')).json;
  assert.equal(before.length, 4);

  await restart();

  const again = world.browser();
  again.plantCookie(`${SESSION_COOKIE}=${ada.cookies().get(SESSION_COOKIE)}; Path=/`);
  assert.equal((await again.request('GET', '/me')).json.user.email, 'ada@example.com');
  assert.deepEqual((await again.request('GET', '/expenses')).json, before);
  assert.deepEqual((await again.request('GET', `/expenses/${before[0].id}`)).json, before[0]);
  assertDetail(await again.request('GET', `/expenses/${deleted}`), 404);

  const graceAgain = await world.signedIn('Grace');
  assert.deepEqual(
    (await graceAgain.request('GET', '/expenses')).json.map(
      (/** @type {import('./support/expenses.mjs').Expense} */ { description }) => description,
    ),
    ["Grace's"],
  );
});

test('a cursor continues after a restart', async () => {
  const bearer = () => world.bearer(world.authkit.mintToken({ claims: { sub: 'user_pages' } }));
  for (let number = 1; number <= 5; number += 1) {
    await bearer().request('POST', '/expenses', { json: { description: `number ${number}`, amount: number } });
  }
  const first = await bearer().request('GET', '/expenses?limit=2');
  const [, next] = present(/<(.*)>/.exec(first.header('link')));
  await restart();
  const second = await bearer().request('GET', next);
  assert.deepEqual(
    [...first.json, ...second.json].map(({ description }) => description),
    ['number 5', 'number 4', 'number 3', 'number 2'],
  );
});

test('sign-in that began before a restart finishes after it', async () => {
  const browser = world.browser();
  const page = await browser.open('/login?return_to=/me');
  const done = await browser.submit(page, 'Ada', { until: (url) => url.pathname === '/callback' });
  await restart();
  const again = world.browser();
  for (const [name, value] of browser.cookies('/callback')) again.plantCookie(`${name}=${value}; Path=/callback`);
  const signedIn = await again.open(done.next.pathname + done.next.search);
  assert.equal(signedIn.url.href, world.worker.url('/me'), `${signedIn}`);
  assert.equal(signedIn.answer.json.user.email, 'ada@example.com');
});

test('no answer and no log line holds a secret', () => world.assertNothingLeaked());
