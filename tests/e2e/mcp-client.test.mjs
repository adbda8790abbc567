/** The official MCP client, which is given nothing but the address, and the people and machines it is for. */

import assert from 'node:assert/strict';
import { test } from 'node:test';

import { ClientCredentialsProvider } from '@modelcontextprotocol/sdk/client/auth-extensions.js';
import { StreamableHTTPError } from '@modelcontextprotocol/sdk/client/streamableHttp.js';
import { decodeJwt } from 'jose';

import { ADA_ID, GRACE_ID } from '../../local/authkit/index.mjs';
import { connect, Person } from './support/mcp-client.mjs';
import { cases, present } from './support/values.mjs';
import { startWorld } from './support/world.mjs';

const DOCUMENT_URL = 'https://client.example/metadata.json';
const LUNCH = { description: 'Lunch', amount: '12.50', date: '2026-11-23' };

const world = await startWorld({ connect: true });
const { authkit } = world;

/**
 * The official client, signed in as that person.
 *
 * @param {'Ada' | 'Grace'} name
 * @param {{ worker?: import('./support/worker.mjs').Worker, document?: string }} [options] `document`: the
 *   address of the client's metadata document
 */
async function connected(name, { worker = world.worker, document } = {}) {
  const person = new Person(name, world.browser(worker), document);
  const client = await connect(worker.url('/mcp'), person);
  keepSecrets(person);
  // From here on it holds what tools answer against their schemas.
  await client.listTools();
  return { person, client };
}

/** @typedef {import('@modelcontextprotocol/sdk/client/index.js').Client} Client */

/** The access token that a person's client has. @param {Person} person */
function accessTokenOf(person) {
  return present(person.tokens()).access_token;
}

/** @param {Person} person */
function keepSecrets(person) {
  world.keepSecret(accessTokenOf(person), "an MCP client's access token");
  world.keepSecret(present(person.tokens()?.refresh_token), "an MCP client's refresh token");
}

/**
 * The output of a tool that succeeds. Tests assert its form, so it has no type.
 *
 * @param {Client} client
 * @param {string} name
 * @param {Record<string, unknown>} [args]
 * @returns {Promise<Record<string, any>>}
 */
async function call(client, name, args = {}) {
  const result = await client.callTool({ name, arguments: args });
  assert.ok(!result.isError, JSON.stringify(result.content));
  return /** @type {Record<string, any>} */ (result.structuredContent);
}

/** The text of a tool's result. @param {Awaited<ReturnType<Client['callTool']>>} result */
function textOf(result) {
  const [content] = /** @type {{ text: string }[]} */ (result.content);
  return content.text;
}

/** A machine's client. @param {string[]} scopes that it has, and asks for */
function connectedMachine(scopes, expectedIssuer = authkit.url) {
  const { clientId, clientSecret } = authkit.addMachine({ scopes });
  world.keepSecret(clientSecret, "a machine's secret");
  const scope = scopes.length > 0 ? scopes.join(' ') : undefined;
  return connect(
    world.worker.url('/mcp'),
    new ClientCredentialsProvider({ clientId, clientSecret, scope, expectedIssuer }),
  );
}

function registrations() {
  return authkit.requests.count({ method: 'POST', path: '/oauth2/register', status: 201 });
}

test('the client finds AuthKit, registers, signs in, lists tools', async () => {
  const before = registrations();
  const { person, client } = await connected('Ada');
  assert.equal(registrations() - before, 1);
  assert.equal(person.signIns, 1);
  const { origin, pathname } = present(person.request);
  assert.equal(origin + pathname, `${authkit.url}/oauth2/authorize`);
  const { aud, sub, client_id: clientId } = decodeJwt(accessTokenOf(person));
  assert.deepEqual([aud, sub, clientId], [world.worker.url('/mcp'), ADA_ID, person.clientInformation()?.client_id]);

  assert.equal(client.getServerVersion()?.name, 'authkit-edge');
  assert.match(present(client.getInstructions()), /expenses/);
  const { tools } = await client.listTools();
  assert.deepEqual(
    tools.map(({ name, annotations: { readOnlyHint, destructiveHint, idempotentHint } = {} }) => [
      name,
      readOnlyHint,
      destructiveHint,
      idempotentHint,
    ]),
    [
      ['list_expenses', true, false, true],
      ['add_expense', false, false, false],
      ['update_expense', false, true, true],
      ['delete_expense', false, true, true],
      ['summarize_expenses', true, false, true],
    ],
  );
  await client.close();
});

test('a trailing slash leads to the same resource', async () => {
  const person = new Person('Ada', world.browser());
  const client = await connect(world.worker.url('/mcp/'), person);
  keepSecrets(person);
  assert.equal(decodeJwt(accessTokenOf(person)).aud, world.worker.url('/mcp'));
  assert.equal((await client.listTools()).tools.length, 5);
  await client.close();
});

test("client and browser see each other's changes", async () => {
  const { client } = await connected('Ada');
  const browser = await world.signedIn('Ada');
  const added = await call(client, 'add_expense', { ...LUNCH, category: 'meals' });
  assert.deepEqual((await browser.request('GET', '/expenses')).json, [added]);

  const byBrowser = (
    await browser.request('POST', '/expenses', {
      json: { description: 'Taxi', amount: 30, category: 'travel', date: '2026-11-24' },
    })
  ).json;
  assert.deepEqual(await call(client, 'list_expenses'), { expenses: [byBrowser, added], next_cursor: null });
  const first = await call(client, 'list_expenses', { limit: 1 });
  assert.deepEqual(first.expenses, [byBrowser]);
  assert.deepEqual((await call(client, 'list_expenses', { limit: 1, cursor: first.next_cursor })).expenses, [added]);

  const updated = await call(client, 'update_expense', { id: byBrowser.id, amount: '32.10' });
  assert.deepEqual((await browser.request('GET', `/expenses/${byBrowser.id}`)).json, updated);
  assert.equal(updated.amount, 32.1);

  const summary = await call(client, 'summarize_expenses', { from: '2026-11-01', to: '2026-11-30' });
  assert.deepEqual(summary, (await browser.request('GET', '/expenses/summary?from=2026-11-01&to=2026-11-30')).json);
  assert.deepEqual(
    summary.currencies.map((/** @type {import('./support/expenses.mjs').Total} */ { currency, total, count }) => [
      currency,
      total,
      count,
    ]),
    [['USD', 44.6, 2]],
  );

  await call(client, 'delete_expense', { id: added.id });
  assert.deepEqual((await browser.request('GET', '/expenses')).json, [updated]);
  assert.equal((await browser.request('DELETE', `/expenses/${updated.id}`)).status, 204);
  assert.deepEqual((await call(client, 'list_expenses')).expenses, []);
  await client.close();
});

test("another user's client can neither see nor change expenses", async () => {
  const [{ client: adas }, { client: graces, person }] = [await connected('Ada'), await connected('Grace')];
  assert.equal(decodeJwt(accessTokenOf(person)).sub, GRACE_ID);
  const added = await call(adas, 'add_expense', LUNCH);
  assert.deepEqual((await call(graces, 'list_expenses')).expenses, []);
  for (const [name, args] of cases([
    ['update_expense', { id: added.id, amount: 1 }],
    ['delete_expense', { id: added.id }],
  ])) {
    const result = await graces.callTool({ name, arguments: args });
    assert.equal(result.isError, true);
    assert.match(textOf(result), /There is no expense/);
  }
  assert.deepEqual((await call(adas, 'list_expenses')).expenses, [added]);
  await call(adas, 'delete_expense', { id: added.id });
});

test('invalid arguments get a result that model can use', async () => {
  const { client } = await connected('Ada');
  const result = await client.callTool({
    name: 'add_expense',
    arguments: { description: '', amount: -1, date: 'yesterday', colour: 'red' },
  });
  assert.equal(result.isError, true);
  for (const word of ['description', 'amount', 'date', 'colour'])
    assert.match(textOf(result), new RegExp(`\\b${word}\\b`));
  await assert.rejects(client.callTool({ name: 'no_such_tool', arguments: {} }), { code: -32602 });
  assert.deepEqual((await call(client, 'list_expenses')).expenses, []);
});

test('an expense added twice with one key exists once', async () => {
  const { client } = await connected('Ada');
  const args = { ...LUNCH, idempotency_key: 'a retry' };
  const [first, second] = [await call(client, 'add_expense', args), await call(client, 'add_expense', args)];
  assert.deepEqual(second, first);
  assert.deepEqual((await call(client, 'list_expenses')).expenses, [first]);
  await call(client, 'delete_expense', { id: first.id });
});

test('an expired token is refreshed without asking the person', async () => {
  const { person, client } = await connected('Ada');
  const before = accessTokenOf(person);
  await world.expire();
  assert.deepEqual((await call(client, 'list_expenses')).expenses, []);
  keepSecrets(person);
  assert.notEqual(accessTokenOf(person), before);
  assert.equal(person.signIns, 1);
});

test('a client with a metadata document does not register', async () => {
  const { clientMetadata } = new Person('Ada', world.browser());
  world.clientDocuments[DOCUMENT_URL] = { ...clientMetadata, client_id: DOCUMENT_URL };
  const before = registrations();
  const { person, client } = await connected('Grace', { document: DOCUMENT_URL });
  assert.equal(registrations(), before);
  assert.equal(decodeJwt(accessTokenOf(person)).client_id, DOCUMENT_URL);
  assert.deepEqual((await call(client, 'list_expenses')).expenses, []);
});

test('a token for one Worker is none for another', async () => {
  const other = await world.startWorker({ connect: true });
  const { person } = await connected('Ada');
  const answer = await world
    .bearer(accessTokenOf(person), other)
    .request('POST', '/mcp', { json: { jsonrpc: '2.0', id: 1, method: 'ping' } });
  assert.equal(answer.status, 401, `${answer}`);
  assert.match(answer.header('www-authenticate'), /error="invalid_token".*resource_metadata="[^"]*\/mcp"/);
});

test('a machine does what its scopes name', async () => {
  const both = await connectedMachine(['expenses:read', 'expenses:write']);
  const added = await call(both, 'add_expense', LUNCH);
  assert.deepEqual((await call(both, 'list_expenses')).expenses, [added]);
  assert.equal((await call(both, 'summarize_expenses')).currencies[0].total, 12.5);
  await call(both, 'delete_expense', { id: added.id });
});

for (const [scopes, refused] of [
  [['expenses:read'], ['add_expense', 'update_expense', 'delete_expense']],
  [['expenses:write'], ['list_expenses', 'summarize_expenses']],
  [[], ['list_expenses', 'summarize_expenses', 'add_expense', 'update_expense', 'delete_expense']],
]) {
  test(`a machine with ${scopes[0] ?? 'no scope'} is refused ${refused.join(', ')}`, async () => {
    const client = await connectedMachine(scopes);
    assert.equal((await client.listTools()).tools.length, 5);
    for (const name of refused) {
      await assert.rejects(
        client.callTool({ name, arguments: {} }),
        (error) => error instanceof StreamableHTTPError && error.code === 403,
        name,
      );
    }
  });
}

test('a machine with another issuer keeps its secret', async () => {
  const before = authkit.requests.count({ method: 'POST', path: '/oauth2/token' });
  await assert.rejects(connectedMachine(['expenses:read'], 'https://other.example'));
  assert.equal(authkit.requests.count({ method: 'POST', path: '/oauth2/token' }), before);
});

test('during an outage clients stay connected and none joins', async () => {
  const { client } = await connected('Ada');
  await world.withoutAuthKit(async () => {
    await assert.rejects(connect(world.worker.url('/mcp'), new Person('Grace', world.browser())));
    assert.deepEqual((await call(client, 'list_expenses')).expenses, []);
  });
  const { client: graces } = await connected('Grace');
  assert.deepEqual((await call(graces, 'list_expenses')).expenses, []);
});

test('no answer and no log line holds a secret', () => world.assertNothingLeaked());
