/**
 * The calls from the module to JavaScript for one request, objects included, which run in the same isolate. No response
 * shows them, and each costs. More than stated here is a regression; where it takes fewer, lower the number.
 */

import assert from 'node:assert/strict';
import { test } from 'node:test';

import { add, newcomer } from './support/expenses.mjs';
import { startWorld } from './support/world.mjs';

const ROWS = 100;

const world = await startWorld();
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

/** @type {Record<string, { most: number, send: () => Promise<import('./support/http.mjs').Answer> }>} */
const REQUESTS = {
  health: { most: 0, send: () => world.anonymous().request('GET', '/health') },
  'list by cookie': { most: 12, send: () => browser.request('GET', '/expenses') },
  'list by bearer': { most: 12, send: () => bearer.request('GET', '/expenses') },
  'one expense': { most: 12, send: () => browser.request('GET', `/expenses/${one.id}`) },
  create: { most: 36, send: () => bearer.request('POST', '/expenses', { json: { description: 'Lunch', amount: 10 } }) },
  page: { most: 19, send: () => browser.request('GET', '/expenses', { headers: { accept: 'text/html' } }) },
  'tool call': { most: 20, send: () => bearer.request('POST', '/mcp', { json: mcp, headers: MCP_HEADERS }) },
};

for (const [name, { most, send }] of Object.entries(REQUESTS)) {
  test(`${name} takes no more calls of JavaScript than stated`, async () => {
    await send();
    await worker.settle();
    const before = (await worker.use()).hostCalls;
    const answer = await send();
    assert.ok(answer.status < 300, `${answer}`);
    await worker.settle();
    const after = (await worker.use()).hostCalls;
    const calls = Object.entries(after)
      .map(([call, count]) => /** @type {const} */ ([call, count - (before[call] ?? 0)]))
      .filter(([, count]) => count > 0);
    const sum = calls.reduce((total, [, count]) => total + count, 0);
    assert.ok(sum <= most, `${sum}: ${calls.map(([call, count]) => `${count} ${call}`).join(', ')}`);
  });
}
