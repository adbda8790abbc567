/**
 * The world of a test file: a local AuthKit, Workers, actors. Started once per file, on loopback and
 * free ports, with everything in a temporary folder.
 */

import assert from 'node:assert/strict';
import { generateKeyPairSync, randomBytes } from 'node:crypto';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after } from 'node:test';
import { setTimeout as pause } from 'node:timers/promises';

import { createAuthKit } from '../../../local/authkit/index.mjs';
import { Anonymous, Bearer, Browser } from './actors.mjs';
import { openSession } from './sealed.mjs';
import { Worker } from './worker.mjs';

export const CLIENT_ID = 'client_e2e';
export const SESSION_COOKIE = 'wos-session';
export const AUTHENTICATE_PATH = '/user_management/authenticate';
const EVENTUALLY_MS = 5_000;
/** The value of an API key of the local AuthKit. */
const API_KEY = /\bsk_local_[\w-]+/;

/** @typedef {import('./worker.mjs').WorkerOptions} WorkerOptions */
/**
 * @typedef {Partial<WorkerOptions> & { vars?: Record<string, string | undefined>, connect?: boolean }} WorldOptions
 *   `vars` are added to the usual ones, `undefined` takes one away; `connect`: the Worker accepts AuthKit
 *   Connect's tokens too
 */
/** @typedef {import('./worker.mjs').Isolate} Isolate */
/** @typedef {import('./http.mjs').Answer} Answer */

/**
 * @param {WorldOptions} [options] of the first Worker
 */
export async function startWorld(options) {
  const world = new World();
  after(() => world.stop());
  await world.start(options);
  return world;
}

/**
 * Returns once something is so that another process brings about.
 *
 * @param {() => boolean | Promise<boolean>} isSo
 */
export async function eventually(isSo) {
  for (const until = Date.now() + EVENTUALLY_MS; !(await isSo()); await pause(5)) {
    if (Date.now() > until) assert.fail(`not even after ${EVENTUALLY_MS} ms: ${isSo}`);
  }
}

/** The parts of a session that is too long for one cookie. @param {(name: string) => string | undefined} cookieValue */
function joinedParts(cookieValue) {
  let joined = '';
  for (let index = 0; cookieValue(`${SESSION_COOKIE}.${index}`); index += 1)
    joined += cookieValue(`${SESSION_COOKIE}.${index}`);
  return joined;
}

export class World {
  /** How far the clocks are ahead of the real one. */
  #aheadMs = 0;
  /** The key that AuthKit signs with, for tokens that it would not make. */
  privateKey = generateKeyPairSync('rsa', { modulusLength: 2048 }).privateKey;
  apiKey = `sk_test_${randomBytes(16).toString('hex')}`;
  /** Hex, so that it is the key itself, and tests can open sealed values. */
  cookiePassword = randomBytes(32).toString('hex');
  authkit = createAuthKit({
    clientId: CLIENT_ID,
    apiKey: this.apiKey,
    privateKey: this.privateKey,
    // No test leaves this computer.
    fetch: async (url) => {
      const document = this.clientDocuments[String(url)];
      return document ? Response.json(document) : new Response(null, { status: 404 });
    },
    now: () => this.now(),
  });
  /** Client ID Metadata Documents, by their address, which is the client's id. @type {Record<string, object>} */
  clientDocuments = {};
  /** @type {Worker | undefined} */
  #worker;
  #folder = mkdtempSync(join(tmpdir(), 'authkit-edge-e2e-'));
  /** @type {Worker[]} */
  #workers = [];
  /** @type {Answer[]} every answer of every Worker */
  #answers = [];
  /** @type {Map<string, string>} secrets that no response or log may hold, and their names */
  #secrets = new Map([[this.apiKey, 'the API key']]);

  /** @param {WorldOptions} [options] of the first Worker */
  async start(options) {
    await this.authkit.listen();
    this.#worker = await this.startWorker(options);
  }

  /** The first Worker, which actors talk to unless told otherwise. */
  get worker() {
    if (!this.#worker) throw new Error('the world has not started');
    return this.#worker;
  }

  /**
   * A Worker on the same AuthKit, with a KV of its own unless `kvFolder` says otherwise.
   *
   * @param {WorldOptions} [options]
   */
  async startWorker({ vars = {}, connect = false, ...options } = {}) {
    /** @type {Record<string, string | undefined>} */
    const all = {
      WORKOS_API_KEY: this.apiKey,
      WORKOS_CLIENT_ID: CLIENT_ID,
      WORKOS_COOKIE_PASSWORD: this.cookiePassword,
      WORKOS_BASE_URL: this.authkit.url,
      WORKOS_AUTHKIT_DOMAIN: connect ? this.authkit.url : undefined,
      ...vars,
    };
    for (const given of [all, ...(options.isolates ?? [])]) {
      for (const name of ['WORKOS_COOKIE_PASSWORD', 'WORKOS_COOKIE_PASSWORD_PREVIOUS']) {
        const value = given[name];
        if (value) this.#secrets.set(value, name);
      }
    }
    const worker = await Worker.start({
      kvFolder: join(this.#folder, `kv-${this.#workers.length}`),
      ...options,
      vars: all,
    });
    this.#workers.push(worker);
    if (this.#aheadMs > 0) await worker.advanceClock(this.#aheadMs / 1000);
    return worker;
  }

  set worker(worker) {
    this.#worker = worker;
  }

  /** Milliseconds, as AuthKit and every Worker have it. */
  now() {
    return Date.now() + this.#aheadMs;
  }

  /** Lets time pass everywhere: in AuthKit and in every Worker that runs, now or later. @param {number} secs */
  async advanceClock(secs) {
    this.#aheadMs += secs * 1000;
    await Promise.all(this.#workers.filter(({ isRunning }) => isRunning).map((worker) => worker.advanceClock(secs)));
  }

  /** @param {Isolate} [worker] */
  anonymous(worker = this.worker) {
    return new Anonymous(this.#actorOptions(worker));
  }

  /** @param {string} [token] default: a sound one, Ada's @param {Isolate} [worker] */
  bearer(token = this.authkit.mintToken(), worker = this.worker) {
    this.keepSecret(token, 'an access token');
    return new Bearer({ token, ...this.#actorOptions(worker) });
  }

  /** @param {Isolate} [worker] @param {{ keepsCookies?: boolean }} [options] */
  browser(worker = this.worker, options = {}) {
    return new Browser({ ...options, ...this.#actorOptions(worker) });
  }

  /** A browser in which that user is signed in. @param {'Ada' | 'Grace'} name @param {Isolate} [worker] */
  async signedIn(name, worker = this.worker) {
    const browser = this.browser(worker);
    const page = await browser.signIn(name);
    assert.equal(page.status, 200, `${name} is not signed in: ${page}`);
    return browser;
  }

  /** A browser that was signed in, and whose access token has just expired. @param {'Ada' | 'Grace'} name @param {Isolate} [worker] */
  async expired(name, worker = this.worker) {
    const browser = await this.signedIn(name, worker);
    await this.expire();
    return browser;
  }

  /** Lets time pass until every access token has expired. */
  async expire() {
    await this.advanceClock(this.authkit.settings.accessTokenTtlSecs + 1);
  }

  /** The session that a browser holds, opened. @param {Browser} browser */
  sessionOf(browser, password = this.cookiePassword) {
    const cookies = browser.cookies();
    return openSession(cookies.get(SESSION_COOKIE) ?? joinedParts((name) => cookies.get(name)), password);
  }

  /**
   * Takes AuthKit away for as long as `body` runs.
   *
   * @param {() => Promise<void>} body
   */
  async withoutAuthKit(body) {
    const { port } = new URL(this.authkit.url);
    await this.authkit.close();
    try {
      await body();
    } finally {
      await this.authkit.listen({ port: Number(port) });
    }
  }

  /** How often a Worker has asked for AuthKit's keys. */
  keyFetches() {
    return this.authkit.requests.count({ method: 'GET', path: `/sso/jwks/${CLIENT_ID}` });
  }

  /** How often a Worker has exchanged a code, with or without success. */
  codeExchanges() {
    return this.authkit.requests.count({ method: 'POST', path: AUTHENTICATE_PATH });
  }

  /** How often a Worker has sent a refresh token, with or without success. */
  refreshes() {
    return this.authkit.requests.count({ path: AUTHENTICATE_PATH, grantType: 'refresh_token' });
  }

  /** @param {string} value @param {string} what */
  keepSecret(value, what) {
    // Too short to mean anything by itself: an empty token, say.
    if (value.length >= 16) this.#secrets.set(value, what);
  }

  /**
   * Stops the Workers, so that their logs are complete, and looks for everything secret in all that
   * they have answered and written. To be the last test of a file.
   */
  async assertNothingLeaked() {
    await this.#stopWorkers();
    assert.ok(this.#answers.length > 0, 'no Worker has answered anything');
    for (const answer of this.#answers) this.#learnSecretsOf(answer);
    const spoken = [
      ...this.#answers.map(({ request, status, text, headers: { 'set-cookie': _, ...headers } }) => [
        `the answer to ${request.method} ${request.url.pathname}`,
        // The answer that creates an API key shows it once.
        `${JSON.stringify(headers)}\n${status === 201 ? text.replace(API_KEY, '') : text}`,
      ]),
      ...this.#workers.map(({ log }, index) => [`the log of Worker ${index}`, log]),
    ];
    for (const [where, text] of spoken) {
      for (const [secret, what] of this.#secrets) assert.ok(!text.includes(secret), `${where} holds ${what}`);
      assert.ok(!text.includes('panicked at'), `${where} tells of a panic: ${text.slice(0, 500)}`);
    }
  }

  async stop() {
    await this.#stopWorkers();
    await this.authkit.close();
    rmSync(this.#folder, { recursive: true, force: true });
  }

  /** A session cookie, and the tokens in it; a new API key. @param {Answer} answer */
  #learnSecretsOf(answer) {
    const apiKey = answer.status === 201 && API_KEY.exec(answer.text)?.[0];
    if (apiKey) this.keepSecret(apiKey, 'an API key');
    const value = answer.setCookie(SESSION_COOKIE)?.value || joinedParts((name) => answer.setCookie(name)?.value);
    if (!value) return;
    this.keepSecret(value, 'a sealed session');
    try {
      const session = openSession(value, this.cookiePassword);
      this.keepSecret(session.access_token, "a session's access token");
      this.keepSecret(session.refresh_token, "a session's refresh token");
    } catch {
      // Another Worker's, with another password.
    }
  }

  /** @param {Isolate} isolate @returns {import('./actors.mjs').ActorOptions} */
  #actorOptions({ origin }) {
    return { origin, record: (answer) => void this.#answers.push(answer) };
  }

  async #stopWorkers() {
    await Promise.all(this.#workers.map((worker) => worker.stop()));
  }
}
