/** `POST /mcp` on workerd: two revisions, every tool checked against its schema, and refused requests. */

import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';

import { Ajv2020 } from 'ajv/dist/2020.js';
import formats from 'ajv-formats';

import { present } from './support/values.mjs';
import { startWorld } from './support/world.mjs';

const NEWEST = '2026-07-28';
/** @type {{ name: string, outputSchema: object }[]} */
const TOOLS = JSON.parse(readFileSync(new URL('../../src/mcp/tools.json', import.meta.url), 'utf8'));
const ACCEPT = 'application/json, text/event-stream';

const world = await startWorld();
const ajv = new Ajv2020({ strict: true, allowUnionTypes: true, allErrors: true });
formats.default(ajv);
const outputs = new Map(TOOLS.map(({ name, outputSchema }) => [name, ajv.compile(outputSchema)]));

/** @param {Record<string, unknown>} message @param {Record<string, string>} [headers] */
function send(message, headers = {}) {
  return world
    .bearer()
    .request('POST', '/mcp', { json: { jsonrpc: '2.0', ...message }, headers: { accept: ACCEPT, ...headers } });
}

/**
 * The output of a tool, by the newest revision, held against its schema.
 *
 * @param {string} name
 * @param {Record<string, unknown>} args
 */
async function call(name, args) {
  const _meta = { 'io.modelcontextprotocol/protocolVersion': NEWEST, 'io.modelcontextprotocol/clientCapabilities': {} };
  const headers = { 'mcp-protocol-version': NEWEST, 'mcp-method': 'tools/call', 'mcp-name': name };
  const answer = await send({ id: 1, method: 'tools/call', params: { name, arguments: args, _meta } }, headers);
  assert.equal(answer.status, 200, `${answer}`);
  assert.equal(answer.headers['content-type'], 'application/json');
  const { result } = answer.json;
  assert.equal(result.isError, undefined, `${answer}`);
  const validate = present(outputs.get(name));
  assert.ok(validate(result.structuredContent), JSON.stringify(validate.errors));
  return result.structuredContent;
}

test('client of an older revision initializes and lists tools', async () => {
  const params = { protocolVersion: '2025-11-25', capabilities: {}, clientInfo: { name: 'test', version: '1' } };
  const answer = await send({ id: 'a', method: 'initialize', params });
  assert.equal(answer.json.result.protocolVersion, '2025-11-25', `${answer}`);
  const headers = { 'mcp-protocol-version': '2025-11-25' };
  assert.equal((await send({ method: 'notifications/initialized' }, headers)).status, 202);
  assert.deepEqual((await send({ id: 1, method: 'tools/list' }, headers)).json.result.tools, TOOLS);
});

test('every tool fulfils its schema, and browser sees it', async () => {
  const browser = await world.signedIn('Ada');
  const added = await call('add_expense', { description: 'by an agent', amount: '12.30', idempotency_key: 'e2e' });
  assert.deepEqual(
    await call('add_expense', { amount: '12.30', description: 'by an agent', idempotency_key: 'e2e' }),
    added,
  );
  assert.deepEqual((await browser.request('GET', `/expenses/${added.id}`)).json, added);
  const { expenses } = await call('list_expenses', { limit: 1000 });
  assert.ok(expenses.some((/** @type {import('./support/expenses.mjs').Expense} */ { id }) => id === added.id));
  const changed = await call('update_expense', { id: added.id, amount: 13, date: '2026-11-23' });
  assert.deepEqual((await browser.request('GET', `/expenses/${added.id}`)).json, changed);
  assert.equal((await call('summarize_expenses', { from: '2026-11-23', to: '2026-11-23' })).currencies[0].total, 13);
  assert.deepEqual(await call('delete_expense', { id: added.id }), { id: added.id, deleted: true });
  assert.equal((await browser.request('GET', `/expenses/${added.id}`)).status, 404);
});

test('foreign origins, cookies and endless bodies are refused', async () => {
  const ping = { id: 1, method: 'ping' };
  assert.equal((await send(ping)).status, 200);
  assert.equal((await send(ping, { origin: 'https://example.com' })).status, 403);
  assert.equal(
    (await (await world.signedIn('Ada')).request('POST', '/mcp', { json: { jsonrpc: '2.0', ...ping } })).status,
    401,
  );
  assert.equal((await send({ ...ping, params: { x: 'x'.repeat(70_000) } })).status, 413);
  assert.equal((await world.bearer().request('GET', '/mcp')).headers.allow, 'POST');
});
