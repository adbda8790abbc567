/**
 * Real visitors: a Chromium with a context for each of them, on the Worker and the local AuthKit that
 * the tests on workerd have too. What a visitor's page complains of, or loads from elsewhere, fails
 * the test that the visitor belongs to.
 */

import assert from 'node:assert/strict';
import { after } from 'node:test';

import { chromium } from 'playwright-core';

import { NO_CHROMIUM, findChromium } from '../../../local/chromium.mjs';
import { startWorld } from '../../e2e/support/world.mjs';

/** Chromium reaches this computer only, and resolves no other name. */
const ARGUMENTS = [
  '--disable-background-networking',
  '--host-resolver-rules=MAP localhost 127.0.0.1, MAP *.localhost 127.0.0.1, EXCLUDE 127.0.0.1, MAP * ~NOTFOUND',
];
/** No answer takes as long; a test that waits for what never comes ends with a name and a line. */
const TIMEOUT_MS = 15_000;

/** @typedef {import('playwright-core').Page} Page */

/**
 * @param {Parameters<typeof startWorld>[0]} [options] of the first Worker
 * @param {import('playwright-core').LaunchOptions} [launchOptions] of the browser
 */
export async function startVisitors(options, launchOptions = {}) {
  const executablePath = findChromium();
  if (!executablePath) throw new Error(NO_CHROMIUM);
  const browser = await chromium.launch({ executablePath, args: ARGUMENTS, ...launchOptions });
  after(() => browser.close());
  const world = await startWorld(options);
  return new Visitors(browser, world);
}

let readsWholePages = false;

/**
 * A click or a key that leads to another page ends when that page has begun. From now on, in every page, it ends when the
 * page can be read to its end.
 *
 * @param {Page} page any
 */
function readWholePages(page) {
  if (readsWholePages) return;
  readsWholePages = true;
  const locators = Object.getPrototypeOf(page.locator('html'));
  for (const name of ['click', 'press']) {
    const act = locators[name];
    /** @this {import('playwright-core').Locator} @param {...unknown} options */
    locators[name] = async function (...options) {
      await act.apply(this, options);
      await this.page().waitForLoadState('domcontentloaded');
    };
  }
}

class Visitors {
  #browser;

  /** @param {import('playwright-core').Browser} browser @param {Awaited<ReturnType<typeof startWorld>>} world */
  constructor(browser, world) {
    this.#browser = browser;
    this.world = world;
  }

  /**
   * A visitor with a new browser context.
   *
   * @param {import('node:test').TestContext} t
   * @param {import('playwright-core').BrowserContextOptions} [options] `javaScriptEnabled: false`, `locale`, …
   * @param {import('../../e2e/support/worker.mjs').Worker} [worker]
   * @param {string[]} [origins] which pages may load from, beside the Worker's and AuthKit's
   * @returns {Promise<Page>}
   */
  async newcomer(t, options = {}, worker = this.world.worker, origins = []) {
    const context = await this.#browser.newContext({
      baseURL: worker.origin,
      // Miniflare's certificate is its own.
      ignoreHTTPSErrors: true,
      reducedMotion: 'reduce',
      ...options,
    });
    context.setDefaultTimeout(TIMEOUT_MS);
    /** @type {string[]} */
    const complaints = [];
    const own = [worker.origin, new URL(this.world.authkit.url).origin, ...origins];
    context.on('page', (page) => watch(page, own, complaints));
    const page = await context.newPage();
    readWholePages(page);
    t.after(async () => {
      for (const { value } of await context.cookies()) this.world.keepSecret(value, 'a cookie of a visitor');
      await context.close();
      assert.deepEqual(complaints, [], 'what the pages complained of');
    });
    return page;
  }

  /**
   * A signed-in visitor.
   *
   * @param {import('node:test').TestContext} t
   * @param {'Ada' | 'Grace'} name
   * @param {import('playwright-core').BrowserContextOptions} [options]
   * @param {import('../../e2e/support/worker.mjs').Worker} [worker]
   */
  async signedIn(t, name, options, worker) {
    const page = await this.newcomer(t, options, worker);
    await page.goto('/');
    await signIn(page, name);
    return page;
  }
}

/** Signs in from a page that offers it, by clicking. @param {Page} page @param {'Ada' | 'Grace'} name */
export async function signIn(page, name) {
  const { origin } = new URL(page.url());
  await page.getByRole('link', { name: 'Sign in' }).first().click();
  await page.getByRole('button', { name: new RegExp(`^${name}\\b`) }).click();
  assert.equal(new URL(page.url()).origin, origin, 'back from AuthKit');
}

/**
 * Notes what a page complains of: errors of scripts and of the policy, and requests for anything but
 * what this Worker and its AuthKit have.
 *
 * @param {Page} page
 * @param {string[]} own origins
 * @param {string[]} complaints
 */
function watch(page, own, complaints) {
  page.on('pageerror', (error) => complaints.push(`${page.url()}: ${error}`));
  page.on('console', (message) => {
    if (message.type() !== 'error' || isOfItsOwn(message, page)) return;
    complaints.push(`${page.url()}: ${message.text()}`);
  });
  page.on('request', (request) => {
    const url = new URL(request.url());
    if (url.protocol !== 'data:' && !own.includes(url.origin)) complaints.push(`${page.url()} asks for ${url.origin}`);
  });
}

/**
 * Whether the console only tells what a test looks at itself: the status of an error page.
 *
 * @param {import('playwright-core').ConsoleMessage} message
 * @param {Page} page
 */
function isOfItsOwn(message, page) {
  const { url } = message.location();
  return message.text().startsWith('Failed to load resource') && url === page.url();
}
