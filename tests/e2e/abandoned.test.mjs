/**
 * Clients that leave: a write that has reached the Worker completes, and nothing of an abandoned request stays in
 * memory. The requests go to an isolate of their own, whose port leads straight to the Worker; the objects run in the
 * first one.
 */

import assert from 'node:assert/strict';
import net from 'node:net';
import { test } from 'node:test';
import { setTimeout as pause } from 'node:timers/promises';

import { add, list, newSub, newcomer } from './support/expenses.mjs';
import { startWorld } from './support/world.mjs';

/**
 * After each round the test waits until nothing runs: requests go on without their clients, who would pile them up.
 *
 * `growthMaxBytes`: the warm-up takes the memory that a round's requests need at once, and later rounds take more by
 * chance. Divided by the requests after the warm-up, it is less than what each of them holds.
 *
 * @typedef {{ kinds: Abandoned[], requests: number, connections: number, warmUp: number, rounds: number, growthMaxBytes: number }} Load
 */

/** How long KV and the objects take, so that requests are under way when their clients leave. */
const DELAY_MS = 10;
/** The clients leave at most so long after the request, or after the first part of a response that they read. */
const LEAVE_MAX_MS = 30;
/** The longest time until the last abandoned request has ended. */
const END_MAX_MS = 10_000;
const ROWS_OF_CSV = 60_000;

const world = await startWorld({ isolates: [{}, {}] });
const { worker } = world;
const [objectsIsolate, isolate] = worker.isolates;
const bearer = newcomer(world, newSub(), isolate);
/** Another user: the list of the first one stays short. */
const writer = newcomer(world, newSub(), isolate);
const one = await add(bearer);
const exporter = world.bearer(world.authkit.mintToken({ claims: { sub: `made-up-${ROWS_OF_CSV}` } }), isolate);
const browser = await world.signedIn('Ada');

const JSON_TYPE = { 'content-type': 'application/json' };
const EXPENSE = JSON.stringify({ description: 'Lunch', amount: 10 });
const TOOL_CALL = JSON.stringify({
  jsonrpc: '2.0',
  id: 1,
  method: 'tools/call',
  params: { name: 'list_expenses', arguments: {} },
});
const MCP = { accept: 'application/json, text/event-stream', 'mcp-protocol-version': '2025-06-18' };

/** @typedef {{ head: string, body?: string, readsPart?: boolean }} Abandoned `readsPart`: the client leaves after a part of the response */

/**
 * @param {string} line @param {Record<string, string | undefined>} headers @param {string} [body] what the client sends of it
 * @param {{ length?: number, readsPart?: boolean }} [options]
 * @returns {Abandoned}
 */
function abandoned(line, headers, body, { length = body?.length, readsPart } = {}) {
  const all = {
    host: new URL(isolate.origin).host,
    ...headers,
    ...(length === undefined ? {} : { 'content-length': String(length) }),
  };
  const lines = Object.entries(all).flatMap(([name, value]) => (value === undefined ? [] : [`${name}: ${value}`]));
  return { head: [`${line} HTTP/1.1`, ...lines, '', ''].join('\r\n'), body, readsPart };
}

const [BEARER, WRITER] = [bearer.headers(), writer.headers()];
/** @type {Abandoned[]} */
const SHORT = [
  abandoned('GET /expenses', BEARER),
  abandoned(`GET /expenses/${one.id}`, BEARER),
  abandoned('GET /expenses/summary', BEARER),
  abandoned('GET /expenses', { accept: 'text/html', cookie: browser.cookieHeader(`${worker.origin}/`) }),
  abandoned('POST /expenses', { ...WRITER, ...JSON_TYPE }, EXPENSE),
  abandoned(
    `PATCH /expenses/${one.id}`,
    { ...BEARER, 'content-type': 'application/merge-patch+json' },
    '{"amount":11}',
  ),
  abandoned('POST /mcp', { ...BEARER, ...JSON_TYPE, ...MCP }, TOOL_CALL),
  // A body that breaks off: of a known length, in chunks, and of one that nobody reads.
  abandoned('POST /expenses', { ...WRITER, ...JSON_TYPE }, EXPENSE.slice(0, 9), { length: EXPENSE.length }),
  abandoned('POST /expenses', { ...WRITER, ...JSON_TYPE, 'transfer-encoding': 'chunked' }, '9\r\n{"amount"\r\n', {
    length: undefined,
  }),
  abandoned('POST /expenses', JSON_TYPE, 'x'.repeat(20_000), { length: 40_000 }),
];
/** Before the first part of a download, and after it. The harness makes the rows anew for each list: few of them. */
const DOWNLOADS = [
  abandoned('GET /expenses.csv', exporter.headers()),
  abandoned('GET /expenses.csv', exporter.headers(), undefined, { readsPart: true }),
];

/** Sends a request and resets its connection. @param {Abandoned} kind */
function leave({ head, body = '', readsPart = false }) {
  return new Promise((/** @type {(value: void) => void} */ resolve) => {
    const { port } = new URL(isolate.origin);
    const socket = net.connect(Number(port), '127.0.0.1');
    const leaveSoon = () => void setTimeout(() => socket.resetAndDestroy(), Math.random() * LEAVE_MAX_MS);
    socket.once('error', () => {});
    socket.once('close', () => resolve());
    socket.once('connect', () => {
      socket.write(head + body);
      if (!readsPart) leaveSoon();
    });
    socket.once('data', () => {
      socket.pause();
      if (readsPart) leaveSoon();
    });
  });
}

/** @param {Load} load */
async function leaveInRound({ kinds, requests, connections }) {
  let sent = 0;
  const leaveRest = async () => {
    while (sent < requests) await leave(kinds[sent++ % kinds.length]);
  };
  await Promise.all(Array.from({ length: connections }, leaveRest));
}

/** What an isolate keeps for events under way, once that is nothing or does not become so. @param {import('./support/worker.mjs').Isolate} of */
async function liveAtRest(of) {
  for (const until = Date.now() + END_MAX_MS; ; await pause(200)) {
    await worker.collectGarbage(of);
    // An event, after which streams that the runtime has dropped are gone.
    await world.anonymous(of).request('GET', '/expenses');
    const { objects: _, ...live } = (await worker.use(of)).live;
    if (isNothing(live) || Date.now() > until) return live;
  }
}

/** @param {Record<string, unknown>} live */
function isNothing(live) {
  return Object.values(live).every((count) => typeof count !== 'number' || count === 0);
}

test('write completes without its client', async () => {
  const client = newcomer(world, newSub(), isolate);
  await worker.holdObjects('LEDGER');
  const leaves = new AbortController();
  const sent = client.request('POST', '/expenses', {
    json: { description: 'kept', amount: 1 },
    signal: leaves.signal,
  });
  await worker.untilObjectIsHeld();
  leaves.abort();
  await assert.rejects(sent);
  await pause(200);
  await worker.holdObjects();
  await liveAtRest(isolate);
  assert.deepEqual(
    (await list(client)).map(({ description }) => description),
    ['kept'],
  );
});

/** @type {Load} */
const SHORT_LOAD = {
  kinds: SHORT,
  requests: 500,
  connections: 50,
  // How many requests overlap is chance: the memory that most of them need at once is reached after some rounds.
  warmUp: 5,
  rounds: 10,
  growthMaxBytes: 1_000_000,
};
/** A download holds a thousand rows, which take 1.3 MB. */
const DOWNLOADS_LOAD = {
  kinds: DOWNLOADS,
  requests: 50,
  connections: 4,
  warmUp: 1,
  rounds: 3,
  growthMaxBytes: 10_000_000,
};

/** @param {import('node:test').TestContext} t @param {Load} load */
async function leavesNothing(t, load) {
  const { warmUp, rounds, growthMaxBytes } = load;
  await worker.disturb({ delayMs: DELAY_MS });
  /** @type {number[]} */
  const memory = [];
  for (let round = 0; round < warmUp + rounds; round += 1) {
    await leaveInRound(load);
    const live = { ...(await liveAtRest(isolate)), ofObjects: await liveAtRest(objectsIsolate) };
    assert.ok(isNothing(live) && isNothing(live.ofObjects), JSON.stringify(live));
    memory.push((await worker.use(isolate)).memoryBytes);
  }
  await worker.disturb();
  t.diagnostic(`the module's memory after each round of ${load.requests}: ${memory.join(', ')} bytes`);
  const growth = (memory.at(-1) ?? 0) - memory[warmUp - 1];
  assert.ok(growth <= growthMaxBytes, `the module has grown by ${growth} bytes`);
  assert.equal((await bearer.request('GET', '/expenses?limit=1')).status, 200);
}

// The short ones come first: the memory that downloads need would hide what they leave.
test('abandoned requests leave nothing in memory', (t) => leavesNothing(t, SHORT_LOAD));

test('abandoned downloads leave nothing in memory', (t) => leavesNothing(t, DOWNLOADS_LOAD));

test('no answer and no log line holds a secret', () => world.assertNothingLeaked());
