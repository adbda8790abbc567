/** Sign-in against hostile pages: a sibling host of the same site, and a page of another site. */

import assert from 'node:assert/strict';
import { test } from 'node:test';

import { present } from '../e2e/support/values.mjs';
import { eventually } from '../e2e/support/world.mjs';
import { signIn, startVisitors } from './support/visitors.mjs';

/** More than a browser keeps for one site, and more than fits into a request's headers. */
const ATTACKS = 190;
const MAX_TRIES = 5;
const TRY_MS = 5_000;
/** What all sign-ins in progress may add to a request's headers. */
const SIGN_IN_COOKIES_MAX_BYTES = 5_000;

/** The attack's page, which keeps the window it opens. @typedef {typeof globalThis & { popup?: Window | null }} AttackPage */

const visitors = await startVisitors();
const { world } = visitors;

/**
 * Serves an empty page at every address of an origin.
 *
 * @param {import('playwright-core').BrowserContext} context
 * @param {string} origin
 */
async function serveEmptyPages(context, origin) {
  await context.route(`${origin}/**`, (route) =>
    route.fulfill({ contentType: 'text/html', body: '<title>empty</title>' }),
  );
}

/** @param {{ name: string }} cookie */
function isSignInCookie({ name }) {
  return /sign-in-/.test(name);
}

for (const name of [undefined, '__Host-session']) {
  test(`a sibling host cannot replace the sign-in, with ${name ?? 'the default cookie name'}`, async (t) => {
    const worker = await world.startWorker({ https: true, vars: { WORKOS_COOKIE_NAME: name } });
    const { port } = new URL(worker.origin);
    const app = `https://app.site.localhost:${port}`;
    const sibling = `https://evil.site.localhost:${port}`;

    // The attacker begins a sign-in of their own, and keeps the address that would finish it.
    const begun = await world
      .anonymous(worker)
      .request('GET', '/login?return_to=/me', { headers: { host: new URL(app).host } });
    const approved = await fetch(begun.location, {
      redirect: 'manual',
      headers: { 'x-local-authkit-user': 'grace@example.com' },
    });
    const callback = present(approved.headers.get('location'));
    assert.ok(callback.startsWith(`${app}/callback?`), callback);
    const [[pair]] = begun.setCookies.map((line) => line.split(';'));
    const cookieName = pair.slice(0, pair.indexOf('='));

    const victim = await visitors.newcomer(t, {}, worker, [app, sibling]);
    await serveEmptyPages(victim.context(), sibling);
    await victim.goto(`${sibling}/`);
    await victim.evaluate(
      ([name, value]) => {
        const bare = name.replace(/^__Host-/, '');
        const pairs = [
          `${name}=${value}`,
          `${bare}=${value}`,
          `__host-${bare}=${value}`,
          // A nameless cookie whose value looks like the pair, and a name that is equal only after trimming.
          `=${name}=${value}`,
          `\u2000${name}=${value}`,
          `\u0085${name}=${value}`,
        ];
        for (const pair of pairs) {
          for (const path of ['/', '/callback']) {
            // biome-ignore lint/suspicious/noDocumentCookie: the Cookie Store API refuses these names and values
            document.cookie = `${pair}; domain=site.localhost; path=${path}; secure`;
          }
        }
      },
      [cookieName, pair.slice(cookieName.length + 1)],
    );
    // The browser keeps cookies in another process than the page's.
    await eventually(async () => {
      const planted = (await victim.context().cookies(`${app}/callback`)).filter(isSignInCookie);
      return planted.length >= 2;
    });
    await victim.evaluate((url) => location.assign(url), callback);
    await victim.waitForURL(/user_management\/authorize|\/me$/);

    await victim.goto(`${app}/`);
    assert.doesNotMatch(await victim.innerText('body'), /grace@example\.com/);
    await signIn(victim, 'Ada');
    assert.match(await victim.innerText('body'), /ada@example\.com/);
  });
}

test('many forced sign-ins end no session and block none', async (t) => {
  const worker = await world.startWorker({ https: true });
  const foreign = 'https://evil.site.localhost';
  const page = await visitors.newcomer(t, {}, worker, [foreign]);
  const context = page.context();
  await page.goto('/');
  await signIn(page, 'Ada');

  await serveEmptyPages(context, foreign);
  const attack = await context.newPage();
  await attack.goto(`${foreign}/`);
  for (let index = 0; index < ATTACKS; index += 1) {
    const url = `${worker.origin}/login?return_to=/${'a'.repeat(900)}${index}`;
    let status;
    // The browser severs the opener's hold of a window while it loads: a navigation of such a window is
    // lost, and the attack opens another window.
    for (let tries = 0; status === undefined && tries < MAX_TRIES; tries += 1) {
      const answered = context
        .waitForEvent('response', { predicate: (response) => response.url() === url, timeout: TRY_MS })
        .then((response) => response.status())
        .catch(() => undefined);
      await attack.evaluate(
        ({ url, isAgain }) => {
          // A window that has been opened stays within reach, unless its page asks for a group of its own.
          const page = /** @type {AttackPage} */ (globalThis);
          if (isAgain || !page.popup || page.popup.closed) page.popup = open(url);
          else page.popup.location.href = url;
        },
        { url, isAgain: tries > 0 },
      );
      status = await answered;
    }
    assert.equal(status, 302);
    for (const other of context.pages()) {
      const isOpen = () => attack.evaluate(() => !(/** @type {AttackPage} */ (globalThis).popup?.closed));
      if (other !== page && other !== attack && !(await isOpen())) await other.close();
    }
  }

  const begun = (await context.cookies(`${worker.origin}/callback`)).filter(isSignInCookie);
  const bytes = begun.reduce((sum, { name, value }) => sum + name.length + value.length + '=; '.length, 0);
  assert.ok(bytes <= SIGN_IN_COOKIES_MAX_BYTES, `${begun.length} cookies of sign-ins have ${bytes} bytes`);
  await page.goto('/');
  assert.match(await page.innerText('body'), /ada@example\.com/, 'the session is still there');
  await page.goto('/login?return_to=/');
  assert.equal(page.url(), `${worker.origin}/`);
  assert.match(await page.innerText('body'), /ada@example\.com/);
});

test('no log line holds a secret', async () => {
  await world.anonymous().request('GET', '/health');
  await world.assertNothingLeaked();
});
