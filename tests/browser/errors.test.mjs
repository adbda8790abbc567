/** Error pages: plain words, a link onwards, and an accessible layout. */

import assert from 'node:assert/strict';
import { test } from 'node:test';

import { ADA_ID } from '../../local/authkit/index.mjs';
import { AUTHENTICATE_PATH } from '../e2e/support/world.mjs';
import { present } from '../e2e/support/values.mjs';
import { inspect } from './support/looks.mjs';
import { startVisitors } from './support/visitors.mjs';

const visitors = await startVisitors();
const { world } = visitors;

/** @typedef {import('playwright-core').Page} Page */

/**
 * The response is a page of the Worker's with that status, a heading and at least one link.
 *
 * @param {Page} page
 * @param {import('playwright-core').Response | null} answer
 * @param {number} status
 */
async function assertErrorPage(page, answer, status) {
  assert.equal(answer?.status(), status);
  assert.match(answer.headers()['content-type'], /^text\/html/);
  assert.equal(await page.getByRole('heading', { level: 1 }).count(), 1);
  assert.ok((await page.getByRole('link').count()) > 0, 'there is no way on');
  assert.doesNotMatch(await page.innerText('body'), /undefined|\[object|\{"detail"|panicked|wasm|KV (get|put|list)/i);
}

/** The answer to the navigation that `act` causes. @param {Page} page @param {() => Promise<void>} act */
async function answerTo(page, act) {
  const navigated = page.waitForResponse(
    (response) => response.request().isNavigationRequest() && response.status() >= 400,
  );
  await act();
  const answer = await navigated;
  await page.waitForLoadState();
  return answer;
}

test('an address where nothing is', async (t) => {
  const page = await visitors.newcomer(t);
  await assertErrorPage(page, await page.goto('/nowhere/<b>at</b>/all?x="'), 404);
  await inspect(page, 'error-404');
  await page.getByRole('link', { name: 'Home' }).first().click();
  assert.equal(new URL(page.url()).pathname, '/');
});

test("cancelled sign-in shows AuthKit's message and can be repeated", async (t) => {
  const page = await visitors.newcomer(t);
  await page.goto('/login');
  const answer = await answerTo(page, () => page.getByRole('button', { name: 'Cancel' }).click());
  await assertErrorPage(page, answer, 400);
  assert.match(await page.innerText('main'), /cancelled/i);
  await inspect(page, 'error-sign-in-refused');
  await page
    .getByRole('link', { name: /sign in|try again/i })
    .first()
    .click();
  await page.getByRole('button', { name: /^Ada\b/ }).click();
  assert.equal(new URL(page.url()).origin, world.worker.origin);
});

test("AuthKit's error is shown as text, never as markup", async (t) => {
  const page = await visitors.newcomer(t);
  const words = '<img src=x onerror="document.title=1"><script>document.title=2</script>"\'';
  await page.goto('/login');
  const state = present(new URL(page.url()).searchParams.get('state'));
  const query = new URLSearchParams({ error: 'x"><h2>y</h2>', error_description: words, state });
  await assertErrorPage(page, await page.goto(`${world.worker.origin}/callback?${query}`), 400);
  assert.equal(await page.locator('main img, main script, main h2').count(), 0);
  assert.ok((await page.innerText('main')).includes(words.slice(0, 20)));
  assert.match(await page.title(), /[a-z]/i);
});

test("an error of a foreign sign-in hides AuthKit's message", async (t) => {
  const page = await visitors.newcomer(t);
  const query = new URLSearchParams({ error: 'call_us', error_description: 'Your account is locked' });
  await assertErrorPage(page, await page.goto(`/callback?${query}`), 400);
  assert.doesNotMatch(await page.innerText('main'), /call_us|locked/);
  await inspect(page, 'error-sign-in-elsewhere');
  await page.getByRole('link', { name: 'Try again' }).click();
  await page.getByRole('button', { name: /^Ada\b/ }).click();
  assert.equal(new URL(page.url()).pathname, '/expenses');
});

test('an oversized token gets a page that says so', async (t) => {
  const { settings } = world.authkit;
  t.after(() => delete settings.extraClaims[ADA_ID]);
  settings.extraClaims[ADA_ID] = { template: 'x'.repeat(30_000) };
  const page = await visitors.newcomer(t);
  await page.goto('/login');
  const answer = await answerTo(page, () => page.getByRole('button', { name: /^Ada\b/ }).click());
  await assertErrorPage(page, answer, 502);
  await inspect(page, 'error-session-too-large');
});

test('dropped session cookie gets a page that says so', async (t) => {
  const worker = await world.startWorker({ vars: { WORKOS_COOKIE_NAME: '__Host-session' } });
  const page = await visitors.newcomer(t, {}, worker);
  // Chromium keeps Secure cookies of localhost. The marker of a sign-in without its session: it did not.
  await page.context().addCookies([{ name: 'session-signed-in', value: '1', url: worker.origin }]);
  await assertErrorPage(page, await page.goto('/login?return_to=/me'), 400);
  assert.match(await page.innerText('main'), /__Host-session.*WORKOS_COOKIE_NAME/s);
  await inspect(page, 'error-session-not-kept');
  await page.getByRole('link', { name: 'Try again' }).click();
  await page.getByRole('button', { name: /^Ada\b/ }).click();
  assert.equal(new URL(page.url()).pathname, '/me');
});

test('AuthKit outage gets a page and keeps the session', async (t) => {
  const page = await visitors.signedIn(t, 'Ada');
  await world.expire();
  await world.withoutAuthKit(async () => {
    const answer = await page.goto('/');
    await assertErrorPage(page, answer, 503);
    assert.match(answer?.headers()['retry-after'] ?? '', /^[1-9]\d*$/);
    await inspect(page, 'error-authkit-down');
  });
  await world.advanceClock(31);
  await page.reload();
  assert.ok(await page.getByRole('button', { name: 'Sign out' }).isVisible());
});

test('a reload finishes a sign-in that AuthKit failed', async (t) => {
  const page = await visitors.newcomer(t);
  await page.goto('/login');
  world.authkit.hooks.add({ method: 'POST', path: AUTHENTICATE_PATH, status: 503, count: 1 });
  const answer = await answerTo(page, () => page.getByRole('button', { name: /^Grace\b/ }).click());
  await assertErrorPage(page, answer, 503);
  await inspect(page, 'error-sign-in-put-off');
  await page.reload();
  assert.equal(new URL(page.url()).pathname, '/expenses');
  await page.goto('/');
  assert.ok(await page.getByText('grace@example.com').first().isVisible());
});

test('KV failure gets an error page, not empty list', async (t) => {
  t.after(() => world.worker.failKv());
  const page = await visitors.signedIn(t, 'Ada');
  await world.worker.failKv('list');
  const answer = await page.goto('/expenses');
  await assertErrorPage(page, answer, 503);
  await inspect(page, 'error-kv-down');
  await world.worker.failKv();
  assert.equal((await page.reload())?.status(), 200);
});

test("another site's form is refused", async (t) => {
  const page = await visitors.signedIn(t, 'Ada');
  // AuthKit's page is another site: a form there is one that anybody could write.
  await page.goto(`${world.authkit.url}/`);
  await page.setContent(
    `<form method="post" action="${world.worker.origin}/logout"><button>Win a prize</button></form>`,
  );
  const answer = await answerTo(page, () => page.getByRole('button').click());
  await assertErrorPage(page, answer, 403);
  await inspect(page, 'error-403');
  await page.goto('/');
  assert.ok(await page.getByRole('button', { name: 'Sign out' }).isVisible(), 'still signed in');
});

test('an unconfigured Worker names the missing variables', async (t) => {
  const worker = await world.startWorker({ vars: { WORKOS_API_KEY: undefined, WORKOS_CLIENT_ID: undefined } });
  const page = await visitors.newcomer(t, {}, worker);
  await assertErrorPage(page, await page.goto('/'), 500);
  const text = await page.innerText('main');
  for (const name of ['WORKOS_API_KEY', 'WORKOS_CLIENT_ID']) assert.ok(text.includes(name), text);
  await inspect(page, 'error-not-configured');
});

test('no log line holds a secret', async () => {
  await world.anonymous().request('GET', '/health');
  await world.assertNothingLeaked();
});
