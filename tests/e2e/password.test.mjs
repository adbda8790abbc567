/** A new cookie password: three states of one Worker, on one KV, as a rotation goes through them. */

import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { beforeEach, test } from 'node:test';

import { ADA_ID } from '../../local/authkit/index.mjs';
import { assertUnauthorized } from './support/assertions.mjs';
import { openSession } from './support/sealed.mjs';
import { cases, present } from './support/values.mjs';
import { SESSION_COOKIE, startWorld } from './support/world.mjs';

const OLD = randomBytes(32).toString('hex');
const NEW = randomBytes(32).toString('hex');

const world = await startWorld({
  isolates: [
    { WORKOS_COOKIE_PASSWORD: OLD },
    { WORKOS_COOKIE_PASSWORD: NEW, WORKOS_COOKIE_PASSWORD_PREVIOUS: OLD },
    { WORKOS_COOKIE_PASSWORD: NEW },
  ],
});
const { authkit } = world;
const [before, during, after] = world.worker.isolates;

beforeEach(() => (authkit.settings.minAccessTokenBytes = 0));

for (const [what, bytes] of cases([
  ['a session', 0],
  ['a session in parts', 9_000],
])) {
  test(`${what} is sealed again after the rotation, without refresh`, async () => {
    authkit.settings.minAccessTokenBytes = bytes;
    const browser = await world.signedIn('Ada', before);
    const session = world.sessionOf(browser, OLD);
    const refreshes = world.refreshes();

    const first = await browser.at(during).request('GET', '/me');
    assert.equal(first.status, 200, `${first}`);
    assert.equal(first.json.user.id, ADA_ID);
    assert.ok(first.setCookies.length > 0);
    assert.deepEqual(world.sessionOf(browser, NEW), session);
    assert.deepEqual((await browser.at(during).request('GET', '/me')).setCookies, []);

    const last = await browser.at(after).request('GET', '/me');
    assert.equal(last.status, 200, `${last}`);
    assert.deepEqual(last.setCookies, []);
    assert.deepEqual(browser.droppedCookies, []);
    assert.equal(world.refreshes(), refreshes);
    assertUnauthorized(await browser.at(before).request('GET', '/me'));
  });

  test(`${what} that has expired outlives the rotation too`, async () => {
    authkit.settings.minAccessTokenBytes = bytes;
    const browser = await world.expired('Ada', before);
    const answer = await browser.at(during).request('GET', '/me');
    assert.equal(answer.status, 200, `${answer}`);
    world.sessionOf(browser, NEW);
    assert.equal((await browser.at(after).request('GET', '/me')).status, 200);
    await world.expire();
    assert.equal((await browser.at(after).request('GET', '/me')).status, 200);
  });
}

test('pages and failed handlers seal the session again too', async () => {
  for (const [path, status] of cases([
    ['/', 200],
    ['/me', 200],
    ['/expenses/7YBQTSVWGKVQGMH7Y926XY65Q7', 404],
  ])) {
    const browser = await world.signedIn('Ada', before);
    const page = await browser.at(during).open(path);
    assert.equal(page.status, status, `${page}`);
    assert.equal(openSession(present(page.answer.setCookie(SESSION_COOKIE)).value, NEW).user.id, ADA_ID);
  }
});

test('session renewed before the rotation is found after it', async () => {
  const browser = await world.expired('Ada', before);
  const late = browser.twin();
  assert.equal((await browser.request('GET', '/me')).status, 200);
  await world.worker.settle();
  const refreshes = world.refreshes();
  const answer = await late.at(during).request('GET', '/me');
  assert.equal(answer.status, 200, `${answer}`);
  assert.equal(world.sessionOf(late, NEW).refresh_token, world.sessionOf(browser, OLD).refresh_token);
  assert.equal(world.refreshes(), refreshes);
});

test('sealing again does not put a spent session back', async () => {
  const browser = await world.signedIn('Ada', before);
  const late = browser.twin();
  await world.advanceClock(10);
  const switched = await browser.at(during).request('POST', '/organization', {
    json: { organization_id: (await browser.at(during).request('GET', '/me')).json.organization_id },
  });
  assert.equal(switched.status, 200, `${switched}`);
  await world.worker.settle();
  // Its access token is still good, its refresh token is spent.
  assert.equal((await late.at(during).request('GET', '/me')).status, 200);
  assert.equal(world.sessionOf(late, NEW).refresh_token, world.sessionOf(browser, NEW).refresh_token);
});

test('fifty requests with an old password cost one refresh', async (t) => {
  const browser = await world.expired('Ada', before);
  const refreshes = world.refreshes();
  const answers = await Promise.all(Array.from({ length: 50 }, () => browser.at(during).request('GET', '/me')));
  assert.deepEqual([...new Set(answers.map(({ status }) => status))], [200]);
  t.diagnostic(`AuthKit calls: ${world.refreshes() - refreshes}`);
  assert.equal(world.refreshes() - refreshes, 1);
  assert.equal((await browser.at(after).request('GET', '/me')).status, 200);
});

test('keys cached before the rotation are used after it', async () => {
  const other = await world.startWorker({
    isolates: [{ WORKOS_COOKIE_PASSWORD: OLD }, { WORKOS_COOKIE_PASSWORD: NEW, WORKOS_COOKIE_PASSWORD_PREVIOUS: OLD }],
  });
  const browser = await world.signedIn('Ada', other);
  const fetches = world.keyFetches();
  assert.equal((await browser.at(other.isolates[1]).request('GET', '/me')).status, 200);
  assert.equal(world.keyFetches(), fetches);
});

test('sessions of a removed password end, and sign-in works', async () => {
  const browser = await world.signedIn('Ada', before);
  assertUnauthorized(await browser.at(after).request('GET', '/me'));
  const page = await browser.at(after).signIn('Ada', '/me');
  assert.equal(page.answer.json.user.id, ADA_ID, `${page}`);
});

test('no answer and no log line holds a secret', () => world.assertNothingLeaked());
