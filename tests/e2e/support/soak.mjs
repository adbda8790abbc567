/**
 * A mixed load over some time, while KV, the objects and WorkOS fail now and then. Each client knows what it has written,
 * and so what each response must hold: a response is right, or it is an honest error.
 */

import { randomUUID } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { setTimeout as pause } from 'node:timers/promises';

import { runtimePids } from '../../../local/workerd.mjs';
import { Anonymous, Bearer, Browser } from './actors.mjs';
import { parseCsv } from './csv.mjs';
import { NO_SUCH_ID, newSub } from './expenses.mjs';
import { World } from './world.mjs';

/** Of fifty connections. */
const SHARES = { api: 26, browser: 10, agent: 10, refused: 4 };
/** The expenses that a client keeps: fewer than one page shows. */
const ROWS_MAX = 20;
/** How often a client sends a request again that got an honest error. With a share of 1 % it is never needed so often. */
const TRIES_MAX = 25;
const RETRY_MS = 50;
/** A client that leaves does so within this time. */
const LEAVE_MAX_MS = 25;
/** The share of requests whose client leaves. */
const LEAVING_SHARE = 0.06;
const SAMPLE_MS = 1_000;
/** After so many acts a program goes on as another user: a ledger keeps each write for ten minutes, and reads bring them all. */
const ACTS_MAX = 150;
/** A client takes a new token before the old one expires. */
const TOKEN_SECS = 60;
const WRONG_MAX = 50;

const MCP_HEADERS = { accept: 'application/json, text/event-stream', 'mcp-protocol-version': '2025-06-18' };

/** @typedef {import('./http.mjs').Answer} Answer */
/** @typedef {import('./actors.mjs').Actor} Actor */
/** @typedef {{ id: string, description: string, amount: number, category: string }} Row */
/**
 * @typedef {object} SoakOptions
 * @property {number} seconds
 * @property {number} [connections] default 50
 * @property {number} [failingShare] of KV's operations, messages to objects and outgoing requests; default 0.01
 * @property {(line: string) => void} [progress]
 */
/** @typedef {{ atSecs: number, requests: number, wasmBytes: number, objectsWasmBytes: number, rssBytes: number | null }} Sample */

/** A response, or an end of one, that must not be. */
class Wrong extends Error {}

/** What the clients did and got. */
class Tally {
  /** @type {Map<string, { ms: number[], outcomes: Record<string, number> }>} */
  kinds = new Map();
  /** @type {string[]} */
  wrong = [];
  requests = 0;

  /** @param {string} kind @param {string} outcome @param {number} ms */
  add(kind, outcome, ms) {
    const of = this.kinds.get(kind) ?? { ms: [], outcomes: {} };
    this.kinds.set(kind, of);
    of.ms.push(ms);
    of.outcomes[outcome] = (of.outcomes[outcome] ?? 0) + 1;
    this.requests += 1;
  }
}

/** @template T @param {T[]} values */
function oneOf(values) {
  return values[Math.floor(Math.random() * values.length)];
}

/** @param {unknown} condition @param {string} what */
function must(condition, what) {
  if (!condition) throw new Wrong(what);
}

/** One connection: one request at a time. */
class Client {
  /** What it has written, in the order of creation. @type {Map<string, Row>} */
  rows = new Map();
  /** @type {Actor} */
  actor;
  #number = 0;

  /** @param {Soak} soak @param {string} name */
  constructor(soak, name) {
    this.soak = soak;
    this.name = name;
    this.actor = new Anonymous(soak.at);
  }

  /** @returns {Record<string, [weight: number, act: () => Promise<void>]>} */
  get acts() {
    return {};
  }

  async begin() {}

  /** Checks everything that it has written, once nothing fails any more. */
  async verify() {}

  async step() {
    const acts = Object.entries(this.acts);
    let at = Math.random() * acts.reduce((sum, [, [weight]]) => sum + weight, 0);
    for (const [, [weight, act]] of acts) {
      at -= weight;
      if (at < 0) return act();
    }
  }

  /**
   * Sends a request once. `undefined`: an honest error, or the client has left.
   *
   * @param {string} kind @param {string} method @param {string} path
   * @param {import('./actors.mjs').RequestOptions} [options]
   * @param {{ mayLeave?: boolean }} [how]
   * @returns {Promise<Answer | undefined>}
   */
  async once(kind, method, path, options = {}, { mayLeave = true } = {}) {
    const leaving = mayLeave && Math.random() < LEAVING_SHARE ? new AbortController() : undefined;
    if (leaving) setTimeout(() => leaving.abort(), Math.random() * LEAVE_MAX_MS);
    const began = performance.now();
    try {
      const answer = await this.actor.request(method, path, { ...options, signal: leaving?.signal });
      const ms = performance.now() - began;
      this.soak.record.add(kind, String(answer.status), ms);
      if (answer.status !== 503) return answer;
      must(Number(answer.headers['retry-after']) > 0, `${kind}: 503 without Retry-After: ${answer}`);
      return undefined;
    } catch (error) {
      if (error instanceof Wrong) throw error;
      if (!leaving?.signal.aborted) throw new Wrong(`${kind}: no response: ${error}`);
      this.soak.record.add(kind, 'left', performance.now() - began);
      return undefined;
    }
  }

  /**
   * Sends a request until it gets an answer that says what has happened. `tries` counts those that did not.
   *
   * @param {string} kind @param {string} method @param {string} path @param {import('./actors.mjs').RequestOptions} options
   * @param {(answer: Answer) => boolean} [isHonestError]
   * @returns {Promise<{ answer: Answer, tries: number }>}
   */
  async definite(kind, method, path, options, isHonestError = () => false) {
    for (let tries = 0; tries < TRIES_MAX; tries += 1) {
      // The last tries do not leave.
      const answer = await this.once(kind, method, path, options, { mayLeave: tries < 3 });
      if (answer && !isHonestError(answer)) return { answer, tries };
      await pause(RETRY_MS);
    }
    throw new Wrong(`${kind}: no definite answer after ${TRIES_MAX} tries`);
  }

  /** A body for a new expense. */
  draft() {
    this.#number += 1;
    return {
      description: `${this.name} ${this.#number}`,
      amount: Math.ceil(Math.random() * 10_000) / 100,
      category: this.name,
    };
  }

  /** @param {Row} row */
  keep({ id, description, amount, category }) {
    must(!this.rows.has(id), `${this.name}: the id ${id} twice`);
    this.rows.set(id, { id, description, amount, category });
  }

  /** The newest first. */
  get newest() {
    return [...this.rows.values()].reverse();
  }

  /** @param {string} kind @param {Row[]} shown */
  mustShow(kind, shown) {
    const [is, be] = [shown, this.newest].map((rows) =>
      rows.map(({ id, description, amount, category }) => `${id} ${description} ${amount} ${category}`).join('\n'),
    );
    must(is === be, `${kind}: ${this.name} sees\n${is}\nand has written\n${be}`);
  }

  /** Whether a response may lack the newest changes, and says so. @param {Answer} answer */
  isEventual(answer) {
    return answer.headers['expenses-consistency'] === 'eventual';
  }

  async create() {
    if (this.rows.size >= ROWS_MAX) return this.remove();
    const draft = this.draft();
    const options = { json: draft, headers: { 'idempotency-key': randomUUID() } };
    const { answer } = await this.definite('create', 'POST', '/expenses', options);
    must(answer.status === 201, `create: ${answer}`);
    must(answer.json.description === draft.description && answer.json.amount === draft.amount, `create: ${answer}`);
    this.keep(answer.json);
  }

  async remove() {
    const row = oneOf(this.newest);
    if (!row) return;
    const { answer, tries } = await this.definite('delete', 'DELETE', `/expenses/${row.id}`, {});
    must(answer.status === 204 || (answer.status === 404 && tries > 0), `delete: ${answer}`);
    this.rows.delete(row.id);
  }

  async change() {
    const row = oneOf(this.newest);
    if (!row) return;
    const { amount } = this.draft();
    const { answer } = await this.definite('change', 'PATCH', `/expenses/${row.id}`, { json: { amount } });
    must(answer.status === 200 && answer.json.amount === amount, `change to ${amount}: ${answer}`);
    row.amount = amount;
  }

  async list() {
    const answer = await this.once('list', 'GET', `/expenses?limit=1000&category=${this.name}`);
    if (!answer) return;
    must(answer.status === 200, `list: ${answer}`);
    if (!this.isEventual(answer)) this.mustShow('list', answer.json);
  }

  async readOne() {
    const row = oneOf(this.newest);
    if (!row) return;
    const answer = await this.once('one', 'GET', `/expenses/${row.id}`);
    if (!answer || this.isEventual(answer)) return;
    must(answer.status === 200 && answer.json.amount === row.amount, `one, with ${row.amount}: ${answer}`);
  }

  async verifyList() {
    const isHonestError = (/** @type {Answer} */ answer) => this.isEventual(answer);
    const path = `/expenses?limit=1000&category=${this.name}`;
    const { answer } = await this.definite('list', 'GET', path, {}, isHonestError);
    must(answer.status === 200, `list: ${answer}`);
    this.mustShow('list at the end', answer.json);
  }
}

/** A program with tokens. */
class Api extends Client {
  sub = newSub();
  #tokenUntil = 0;
  #acts = 0;

  /** @override */
  async step() {
    this.#acts += 1;
    if (this.#acts > ACTS_MAX) await this.becomeAnother();
    this.useToken();
    await super.step();
  }

  async becomeAnother() {
    await this.verify();
    this.rows.clear();
    this.sub = newSub();
    this.#acts = 0;
    this.#tokenUntil = 0;
  }

  useToken() {
    if (Date.now() < this.#tokenUntil) return;
    this.#tokenUntil = Date.now() + (TOKEN_SECS / 2) * 1000;
    const token = this.soak.world.authkit.mintToken({ claims: { sub: this.sub }, expSecs: TOKEN_SECS });
    this.actor = new Bearer({ token, ...this.soak.at });
  }

  /** @override @returns {Record<string, [number, () => Promise<void>]>} */
  get acts() {
    return {
      list: [25, () => this.list()],
      one: [15, () => this.readOne()],
      create: [20, () => this.create()],
      change: [8, () => this.change()],
      delete: [8, () => this.remove()],
      summary: [8, () => this.sum()],
      csv: [6, () => this.download()],
    };
  }

  async sum() {
    const answer = await this.once('summary', 'GET', '/expenses/summary');
    if (!answer || this.isEventual(answer)) return;
    must(answer.status === 200, `summary: ${answer}`);
    const cents = this.newest.reduce((sum, { amount }) => sum + Math.round(amount * 100), 0);
    const [usd] = answer.json.currencies;
    const is = usd ? `${Math.round(usd.total * 100)} ${usd.count}` : '0 0';
    must(is === `${cents} ${this.rows.size}`, `summary: ${this.name} has ${cents} ${this.rows.size}: ${answer}`);
  }

  async download() {
    const answer = await this.once('csv', 'GET', '/expenses.csv');
    if (!answer || this.isEventual(answer)) return;
    must(answer.status === 200, `csv: ${answer}`);
    // A file that breaks off says so.
    if (/\r\n"INCOMPLETE: [^"\r\n]*$/.test(answer.text)) return;
    const ids = parseCsv(answer.text)
      .slice(1)
      .map(([id]) => id);
    must(ids.join() === this.newest.map(({ id }) => id).join(), `csv: ${this.name}: ${answer.text}`);
  }

  /** @override */
  async verify() {
    this.useToken();
    await this.verifyList();
  }
}

/** A person's browser, whose session is renewed. Several share a user, so each has a category of its own. */
class Person extends Client {
  /** @override */
  async begin() {
    await this.signIn();
    // What an earlier browser of the name has left.
    await this.verifyList();
  }

  async signIn() {
    const browser = new Browser(this.soak.at);
    this.actor = browser;
    for (let tries = 0; tries < TRIES_MAX; tries += 1) {
      const began = performance.now();
      try {
        const page = await browser.signIn(oneOf(['Ada']));
        this.soak.record.add('sign-in', String(page.status), performance.now() - began);
        if (page.status === 200) return;
        must(page.status === 503 || page.status === 502, `sign-in: ${page}`);
      } catch (error) {
        if (error instanceof Wrong) throw error;
        throw new Wrong(`sign-in: ${error}`);
      }
      await pause(RETRY_MS);
    }
    throw new Wrong(`sign-in: not signed in after ${TRIES_MAX} tries`);
  }

  /** @override @returns {Record<string, [number, () => Promise<void>]>} */
  get acts() {
    return {
      page: [30, () => this.open()],
      list: [15, () => this.list()],
      me: [15, () => this.me()],
      // Few: all persons together are one user, with one ledger.
      create: [1.5, () => this.create()],
      change: [0.5, () => this.change()],
      delete: [0.5, () => this.remove()],
      'sign-out': [1, () => this.signOut()],
    };
  }

  async open() {
    const headers = { accept: 'text/html', 'sec-fetch-mode': 'navigate', 'sec-fetch-dest': 'document' };
    const answer = await this.once('page', 'GET', `/expenses?category=${this.name}`, { headers });
    if (!answer) return;
    must(answer.status === 200, `page: ${answer}`);
    if (/may be missing/.test(answer.text)) return;
    for (const { description } of this.rows.values())
      must(answer.text.includes(`${description}<`), `page: ${this.name} does not see ${description}: ${answer.text}`);
  }

  async me() {
    const answer = await this.once('me', 'GET', '/me');
    if (answer) must(answer.status === 200, `me: the session is lost: ${answer}`);
  }

  async signOut() {
    const answer = await this.once('sign-out', 'POST', '/logout', {}, { mayLeave: false });
    if (!answer) return;
    must(answer.status === 303, `sign-out: ${answer}`);
    await this.signIn();
  }

  /** @override */
  async verify() {
    await this.verifyList();
  }
}

/** An agent that calls tools. */
class Agent extends Api {
  /** @override @returns {Record<string, [number, () => Promise<void>]>} */
  get acts() {
    return {
      'tool list': [30, () => this.listByTool()],
      'tool add': [20, () => this.addByTool()],
      'tool delete': [12, () => this.removeByTool()],
      'tool summary': [8, () => this.sumByTool()],
    };
  }

  /** @param {string} name @param {Record<string, unknown>} given */
  options(name, given) {
    const json = { jsonrpc: '2.0', id: 1, method: 'tools/call', params: { name, arguments: given } };
    return { json, headers: MCP_HEADERS };
  }

  /** The result of a call; `undefined` for an honest error. @param {string} kind @param {Answer | undefined} answer */
  result(kind, answer) {
    if (!answer) return undefined;
    must(answer.status === 200, `${kind}: ${answer}`);
    const { result } = answer.json;
    must(result, `${kind}: ${answer}`);
    if (!result.isError) return result;
    const text = result.content[0].text;
    this.soak.toolErrors[text] = (this.soak.toolErrors[text] ?? 0) + 1;
    return undefined;
  }

  /** Whether a tool says that it could not tell. @param {Answer} answer */
  static isOutage(answer) {
    const { result } = answer.json;
    return result?.isError === true && !/no expense|not exist/i.test(result.content[0].text);
  }

  async listByTool() {
    const answer = await this.once('tool list', 'POST', '/mcp', this.options('list_expenses', { limit: 100 }));
    const result = this.result('tool list', answer);
    if (!result || /may be missing/.test(JSON.stringify(result.content))) return;
    this.mustShow('tool list', result.structuredContent.expenses);
  }

  async addByTool() {
    if (this.rows.size >= ROWS_MAX) return this.removeByTool();
    const given = { ...this.draft(), idempotency_key: randomUUID() };
    const options = this.options('add_expense', given);
    const { answer } = await this.definite('tool add', 'POST', '/mcp', options, Agent.isOutage);
    const result = this.result('tool add', answer);
    must(result, `tool add: ${answer}`);
    this.keep(result.structuredContent);
  }

  async removeByTool() {
    const row = oneOf(this.newest);
    if (!row) return;
    const options = this.options('delete_expense', { id: row.id });
    const { answer, tries } = await this.definite('tool delete', 'POST', '/mcp', options, Agent.isOutage);
    must(answer.json.result && (!answer.json.result.isError || tries > 0), `tool delete: ${answer}`);
    this.rows.delete(row.id);
  }

  async sumByTool() {
    const answer = await this.once('tool summary', 'POST', '/mcp', this.options('summarize_expenses', {}));
    const result = this.result('tool summary', answer);
    if (!result || /may be missing/.test(JSON.stringify(result.content))) return;
    const count = result.structuredContent.currencies[0]?.count ?? 0;
    must(count === this.rows.size, `tool summary: ${this.name} has ${this.rows.size}: ${answer}`);
  }
}

/** A client that is refused. */
class Refused extends Api {
  /** @override @returns {Record<string, [number, () => Promise<void>]>} */
  get acts() {
    const JSON_TYPE = { 'content-type': 'application/json' };
    const nobody = new Anonymous(this.soak.at);
    const forger = new Bearer({ token: 'a.b.c', ...this.soak.at });
    /** @param {Actor} actor @param {number} status @param {string} method @param {string} path @param {import('./actors.mjs').RequestOptions} [options] */
    const refused = (actor, status, method, path, options) => async () => {
      this.actor = actor;
      const answer = await this.once('refused', method, path, options);
      if (answer) must(answer.status === status, `refused, ${status} expected: ${answer}`);
    };
    this.useToken();
    const member = this.bearer ?? this.actor;
    return {
      nobody: [3, refused(nobody, 401, 'GET', '/expenses')],
      forged: [3, refused(forger, 401, 'POST', '/mcp', { json: {} })],
      absent: [3, refused(member, 404, 'GET', `/expenses/${NO_SUCH_ID}`)],
      invalid: [3, refused(member, 422, 'POST', '/expenses', { json: { description: '', amount: -1 } })],
      broken: [3, refused(member, 422, 'POST', '/expenses', { body: '{"', headers: JSON_TYPE })],
      nowhere: [1, refused(member, 404, 'GET', '/nowhere')],
    };
  }

  /** @type {Actor | undefined} */
  bearer;

  /** @override */
  useToken() {
    const before = this.actor;
    super.useToken();
    if (this.actor !== before) this.bearer = this.actor;
  }

  /** @override */
  async verify() {}
}

/** @type {Record<string, typeof Client>} */
const CLIENTS = { api: Api, browser: Person, agent: Agent, refused: Refused };

class Soak {
  record = new Tally();
  /** What tools said of errors, and how often. @type {Record<string, number>} */
  toolErrors = {};
  world = new World();
  /** @type {import('./actors.mjs').ActorOptions} */
  at = { origin: '', record() {} };
}

/**
 * Runs the load, and returns its figures.
 *
 * @param {SoakOptions} options
 */
export async function soak({ seconds, connections = 50, failingShare = 0.01, progress = () => {} }) {
  const before = new Set(runtimePids());
  const run = new Soak();
  const { world, record } = run;
  // Sessions are renewed all the time.
  world.authkit.settings.accessTokenTtlSecs = Math.min(30, Math.max(5, seconds / 4));
  try {
    await world.start({ isolates: [{}, {}] });
    const pid = runtimePids().find((each) => !before.has(each));
    const { worker } = world;
    const [objects, isolate] = worker.isolates;
    // Browsers come to the address that AuthKit sends them back to.
    run.at = { origin: isolate.origin, record() {} };
    const all = Object.values(SHARES).reduce((sum, share) => sum + share, 0);
    const clients = Object.entries(SHARES).flatMap(([kind, share]) =>
      Array.from(
        { length: Math.max(1, Math.round((share * connections) / all)) },
        (_, index) => new CLIENTS[kind](run, `${kind}-${index}`),
      ),
    );
    for (const client of clients) await client.begin();
    await worker.disturb({ failingShare });

    /** @type {Sample[]} */
    const samples = [];
    const began = performance.now();
    const elapsedSecs = () => (performance.now() - began) / 1000;
    const isOver = () => elapsedSecs() >= seconds || record.wrong.length >= WRONG_MAX;
    const sample = async () => {
      const [used, usedByObjects] = [await worker.use(isolate), await worker.use(objects)];
      samples.push({
        atSecs: Math.round(elapsedSecs()),
        requests: record.requests,
        wasmBytes: used.memoryBytes,
        objectsWasmBytes: usedByObjects.memoryBytes,
        rssBytes: pid === undefined ? null : rssBytes(pid),
      });
    };
    const observe = async () => {
      for (let line = 0; !isOver(); line += 1) {
        await sample();
        if (line % 30 === 0) progress(describe(/** @type {Sample} */ (samples.at(-1)), record));
        await pause(SAMPLE_MS);
      }
    };
    const use = async (/** @type {Client} */ client) => {
      while (!isOver()) await attempt(record, () => client.step());
    };
    await Promise.all([observe(), ...clients.map(use)]);
    await sample();
    const ran = elapsedSecs();

    await worker.disturb();
    for (const client of clients) await attempt(record, () => client.verify());
    await worker.flushLog();
    if (/panicked at|reset after a panic/.test(worker.log)) record.wrong.push('the log tells of a panic');
    const live = await liveAtRest(world, [isolate, objects]);
    if (Object.values(live).some((count) => count > 0)) record.wrong.push(`left in memory: ${JSON.stringify(live)}`);
    return figures({ seconds: ran, connections: clients.length, failingShare, run, samples, live });
  } finally {
    await world.stop();
  }
}

/** @param {Tally} record @param {() => Promise<void>} act */
async function attempt(record, act) {
  try {
    await act();
  } catch (error) {
    record.wrong.push(error instanceof Wrong ? error.message : String(/** @type {Error} */ (error).stack));
  }
}

/** What isolates keep for events under way, once that is nothing or does not become so. @param {World} world @param {import('./worker.mjs').Isolate[]} isolates */
async function liveAtRest({ worker }, isolates) {
  /** @type {Record<string, number>} */
  let live = {};
  for (const until = Date.now() + 10_000; Date.now() < until; await pause(200)) {
    live = {};
    for (const isolate of isolates) {
      await worker.collectGarbage(isolate);
      await new Anonymous({ origin: isolate.origin, record() {} }).request('GET', '/expenses');
      const { objects: _, ...counts } = (await worker.use(isolate)).live;
      for (const [kind, count] of Object.entries(counts)) live[kind] = (live[kind] ?? 0) + count;
    }
    if (Object.values(live).every((count) => count === 0)) break;
  }
  return live;
}

/**
 * @param {{
 *   seconds: number, connections: number, failingShare: number, run: Soak, samples: Sample[], live: Record<string, number>,
 * }} of
 */
function figures({ seconds, connections, failingShare, run: { record, toolErrors }, samples, live }) {
  const kinds = [...record.kinds].map(([kind, { ms, outcomes }]) => {
    ms.sort((a, b) => a - b);
    const at = (/** @type {number} */ share) => Number(ms[Math.floor((ms.length - 1) * share)].toFixed(1));
    return [kind, { requests: ms.length, p50Ms: at(0.5), p99Ms: at(0.99), maxMs: at(1), outcomes }];
  });
  return {
    seconds: Number(seconds.toFixed(1)),
    connections,
    failingShare,
    requests: record.requests,
    requestsPerSec: Number((record.requests / seconds).toFixed(1)),
    wrong: record.wrong,
    kinds: Object.fromEntries(kinds),
    toolErrors,
    live,
    memory: {
      wasmBytes: growth(samples, 'wasmBytes'),
      objectsWasmBytes: growth(samples, 'objectsWasmBytes'),
      rssBytes: growth(samples, 'rssBytes'),
    },
    samples,
  };
}

/**
 * How much the module's memory may grow from the second to the last quarter: verified tokens and opened cookies are kept up
 * to two megabytes of each (STORAGE.md, Isolate memory). One abandoned request that stayed was 9 kB.
 */
const WASM_GROWTH_MAX_BYTES = 4_000_000;
/**
 * How much the process may: it runs Miniflare's KV too, V8 collects its garbage when it likes, and a ledger keeps each write
 * for ten minutes.
 */
const RSS_GROWTH_MAX_SHARE = 0.5;
/** A shorter run shows nothing but the warm-up. */
const MEMORY_MIN_SECS = 60;

/**
 * What is wrong with a run: nothing, where the list is empty.
 *
 * @param {ReturnType<typeof figures>} of
 */
export function verdict({ seconds, wrong, memory: { wasmBytes, rssBytes } }) {
  const faults = [...wrong];
  if (seconds < MEMORY_MIN_SECS) return faults;
  const describeGrowth = (/** @type {{ early: number, late: number }} */ { early, late }) =>
    `${early} to ${late} bytes`;
  if (wasmBytes.late - wasmBytes.early > WASM_GROWTH_MAX_BYTES)
    faults.push(`the module's memory has grown: ${describeGrowth(wasmBytes)}`);
  if (rssBytes.late > rssBytes.early * (1 + RSS_GROWTH_MAX_SHARE))
    faults.push(`the process has grown: ${describeGrowth(rssBytes)}`);
  return faults;
}

/** The medians of the second and of the last quarter. @param {Sample[]} samples @param {'wasmBytes' | 'objectsWasmBytes' | 'rssBytes'} field */
function growth(samples, field) {
  const quarter = Math.max(1, Math.floor(samples.length / 4));
  const median = (/** @type {Sample[]} */ some) => {
    const values = some.map((sample) => sample[field] ?? 0).sort((a, b) => a - b);
    return values[Math.floor(values.length / 2)] ?? 0;
  };
  return { early: median(samples.slice(quarter, 2 * quarter)), late: median(samples.slice(-quarter)) };
}

/** @param {Sample} sample @param {Tally} record */
export function describe({ atSecs, requests, wasmBytes, objectsWasmBytes, rssBytes }, { wrong }) {
  const megabytes = (/** @type {number | null} */ bytes) => (bytes === null ? '?' : (bytes / 1e6).toFixed(1));
  return `${atSecs} s: ${requests} requests, ${wrong.length} wrong; wasm ${megabytes(wasmBytes)} MB, of the objects ${megabytes(objectsWasmBytes)} MB, process ${megabytes(rssBytes)} MB`;
}

/** The resident memory of a process (proc_pid_status(5)). @param {number} pid */
function rssBytes(pid) {
  const [, kilobytes] = /^VmRSS:\s+(\d+) kB/m.exec(readFileSync(`/proc/${pid}/status`, 'latin1')) ?? [];
  return Number(kilobytes) * 1024;
}
