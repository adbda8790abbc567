/**
 * What a request costs that no response shows, objects included, which run in the same isolate: the calls from the module
 * to JavaScript, the calls of functions in the module, the iterations of their loops, and the code of these functions,
 * which a new isolate compiles and every processor's cache has to hold. More than stated here is a regression; where it
 * takes less, lower the number.
 */

import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';

import { EXPENSES, RELEASE, copyWithCounters } from '../../local/build.mjs';
import { countsBetween } from '../../local/wasm.mjs';
import { add, newcomer } from './support/expenses.mjs';
import { EXPENSES_BUNDLE } from './support/worker.mjs';
import { startWorld } from './support/world.mjs';

const ROWS = 100;

const folder = mkdtempSync(join(tmpdir(), 'authkit-edge-calls-'));
after(() => rmSync(folder, { recursive: true }));
const { counters } = copyWithCounters(EXPENSES, RELEASE, folder);
const world = await startWorld({ bundle: { ...EXPENSES_BUNDLE, folder }, isolates: [{}, {}] });
const { worker } = world;
const browser = await world.signedIn('Ada');
const bearer = newcomer(world);
for (let row = 0; row < ROWS; row += 1) await add(bearer);
const one = await add(browser);
const mcp = {
  jsonrpc: '2.0',
  id: 1,
  method: 'tools/call',
  params: { name: 'list_expenses', arguments: { limit: 25 } },
};
const MCP_HEADERS = { accept: 'application/json, text/event-stream', 'mcp-protocol-version': '2025-06-18' };

/**
 * @typedef {object} Most
 * @property {number} host calls of JavaScript
 * @property {number} calls of functions in the module
 * @property {number} iterations of these functions' loops
 * @property {number} kB of these functions' code
 */

/** @type {Record<string, { most: Most, send: () => Promise<import('./support/http.mjs').Answer> }>} */
const REQUESTS = {
  health: {
    most: { host: 0, calls: 10, iterations: 0, kB: 1 },
    send: () => world.anonymous().request('GET', '/health'),
  },
  'list by cookie': {
    most: { host: 11, calls: 3_720, iterations: 4_800, kB: 149 },
    send: () => browser.request('GET', '/expenses'),
  },
  'list by bearer': {
    most: { host: 11, calls: 31_800, iterations: 111_000, kB: 152 },
    send: () => bearer.request('GET', '/expenses'),
  },
  'one expense': {
    most: { host: 11, calls: 3_060, iterations: 4_980, kB: 134 },
    send: () => browser.request('GET', `/expenses/${one.id}`),
  },
  create: {
    most: { host: 34, calls: 5_780, iterations: 5_900, kB: 187 },
    send: () => bearer.request('POST', '/expenses', { json: { description: 'Lunch', amount: 10 } }),
  },
  page: {
    most: { host: 18, calls: 16_750, iterations: 14_600, kB: 246 },
    send: () => browser.request('GET', '/expenses', { headers: { accept: 'text/html' } }),
  },
  'tool call': {
    most: { host: 19, calls: 19_500, iterations: 47_000, kB: 207 },
    send: () => bearer.request('POST', '/mcp', { json: mcp, headers: MCP_HEADERS }),
  },
};

for (const [name, { most, send }] of Object.entries(REQUESTS)) {
  test(`${name} calls JavaScript and Rust no more than stated`, async () => {
    await send();
    await worker.settle();
    const [before, countsBefore] = [(await worker.use()).hostCalls, await worker.moduleCounters(counters)];
    const answer = await send();
    assert.ok(answer.status < 300, `${answer}`);
    await worker.settle();
    const [after, countsAfter] = [(await worker.use()).hostCalls, await worker.moduleCounters(counters)];
    const calls = Object.entries(after)
      .map(([call, count]) => /** @type {const} */ ([call, count - (before[call] ?? 0)]))
      .filter(([, count]) => count > 0);
    const sum = calls.reduce((total, [, count]) => total + count, 0);
    assert.ok(sum <= most.host, `${sum}: ${calls.map(([call, count]) => `${count} ${call}`).join(', ')}`);
    assertFew(countsBefore, countsAfter, most);
  });
}

// The objects run in the first isolate: their calls are not among these.
test('first list of a new isolate calls Rust no more than stated', async () => {
  const isolate = worker.isolates[1];
  const before = await worker.moduleCounters(counters, isolate);
  const answer = await browser.at(isolate).request('GET', '/expenses');
  assert.equal(answer.status, 200, `${answer}`);
  await worker.settle();
  assertFew(before, await worker.moduleCounters(counters, isolate), {
    functions: 790,
    calls: 10_520,
    iterations: 33_200,
    kB: 219,
  });
});

/**
 * @param {number[]} before
 * @param {number[]} after
 * @param {Omit<Most, 'host'> & { functions?: number }} most
 */
function assertFew(before, after, most) {
  const { called, calls, iterations, bytes } = countsBetween(counters, before, after);
  const kB = bytes / 1000;
  const isFew =
    called.length <= (most.functions ?? Infinity) &&
    calls <= most.calls &&
    iterations <= most.iterations &&
    kB <= most.kB;
  const used = `${calls} calls of ${called.length} functions with ${kB.toFixed(1)} kB, and ${iterations} iterations`;
  assert.ok(isFew, `${used}; \`npm run profile -- <operation> --calls\` names them`);
}
