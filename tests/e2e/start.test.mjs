/** `npm start` in a fresh clone. */

import assert from 'node:assert/strict';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { test } from 'node:test';

import { Browser } from './support/actors.mjs';
import { formsOf } from './support/html.mjs';
import { connect as connectAgent, Person } from './support/mcp-client.mjs';
import { TIME_ZONE, clone, freePort, freePorts, interrupt, printedAddress, start } from './support/npm-start.mjs';
import { portOf, present } from './support/values.mjs';

test('npm start keeps expenses and sessions over a restart', async () => {
  const ports = await freePorts();
  const first = start(...ports);
  const address = await printedAddress(first);
  assert.equal(new URL(address).port, String(ports[0]));

  const browser = new Browser({ origin: address, record() {} });
  const page = await browser.signIn('Ada', '/login?return_to=/me');
  assert.equal(page.answer.json.user.email, 'ada@example.com', `${page}`);
  const created = await browser.request('POST', '/expenses', { json: { description: 'Coffee', amount: '3.20' } });
  assert.equal(created.status, 201, `${created}`);

  // Pages have the computer's own date.
  const date = () => new Intl.DateTimeFormat('sv-SE', { timeZone: TIME_ZONE }).format();
  const before = date();
  const { fields } = present(formsOf((await browser.open('/')).text).find(({ action }) => action === '/expenses'));
  assert.ok([before, date()].includes(fields.date), `${fields.date}, not ${before}`);

  // An agent, with the settings that npm start makes.
  const client = await connectAgent(`${address}/mcp`, new Person('Ada', new Browser({ origin: address, record() {} })));
  const { structuredContent } = await client.callTool({ name: 'list_expenses', arguments: {} });
  const { expenses } = /** @type {{ expenses: unknown }} */ (structuredContent);
  assert.deepEqual(expenses, [created.json]);
  await client.close();
  await interrupt(first, ports);

  const second = start(...ports);
  assert.equal(await printedAddress(second), address);
  // The same browser, still signed in: the cookie password was kept, and AuthKit's keys.
  const listed = await browser.request('GET', '/expenses');
  assert.equal(listed.status, 200, `${listed}`);
  assert.deepEqual(listed.json, [created.json]);
  const other = new Browser({ origin: address, record() {} });
  assert.equal((await other.signIn('Grace', '/login')).status, 200);
  assert.deepEqual((await other.request('GET', '/expenses')).json, []);
  await interrupt(second, ports);

  for (const { output } of [first, second]) {
    assert.doesNotMatch(output, /WORKOS_COOKIE_PASSWORD=|sk_test_local|panicked at/);
    const password = /[0-9a-f]{64}/.exec(output);
    assert.equal(password, null, 'no cookie password is printed');
  }
  assert.ok(!existsSync(join(clone, '.dev.vars')), "the developer's own file is not written");
});

test('npm start names a port in use and ends', async () => {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const port = portOf(server);
  try {
    const started = start(port, await freePort());
    const [code] = await started.exit;
    assert.equal(code, 1, started.output);
    const said = started.output.trim().split('\n');
    assert.equal(said.length, 1, started.output);
    assert.match(said[0], new RegExp(`^Port ${port} is already in use.*npm start -- --port \\d+$`));
  } finally {
    server.close();
  }
});
