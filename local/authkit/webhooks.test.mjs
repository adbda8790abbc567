/** Webhooks, opened by WorkOS's own SDK. */

import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createServer } from 'node:http';
import { test } from 'node:test';

import { WorkOS } from '@workos-inc/node';

import { createAuthKit, GRACE_ID } from './index.mjs';

const SECRET = 'whsec_of_the_endpoint';
const { webhooks } = new WorkOS('sk_test_unused', { clientId: 'client_unused' });

/** What an endpoint gets, which answers with these statuses in turn. @param {import('node:test').TestContext} t */
async function endpoint(t, ...statuses) {
  const got = [];
  const server = createServer(async (request, response) => {
    const chunks = [];
    for await (const chunk of request) chunks.push(chunk);
    got.push({
      method: request.method,
      path: request.url,
      headers: request.headers,
      body: Buffer.concat(chunks).toString(),
    });
    response.writeHead(statuses[got.length - 1] ?? 200).end();
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  t.after(() => {
    server.closeAllConnections();
    server.close();
  });
  return { got, url: `http://127.0.0.1:${server.address().port}/webhooks/workos` };
}

test('a deleted user is told of as WorkOS tells it, however often it is delivered', async (t) => {
  const { got, url } = await endpoint(t, 503, 200);
  let nowMs = Date.now();
  const authkit = createAuthKit({ now: () => nowMs, settings: { webhook: { url, secret: SECRET } } });
  const event = authkit.deleteUser('grace@example.com');
  assert.equal(authkit.findUser(GRACE_ID), undefined);
  assert.throws(() => authkit.deleteUser(GRACE_ID), TypeError);

  assert.equal((await authkit.webhooks.deliver(event)).status, 503);
  nowMs += 1_000;
  assert.equal((await authkit.webhooks.deliver(event)).status, 200);
  assert.equal(got.length, 2);
  assert.equal(got[0].body, got[1].body);
  assert.notEqual(
    got[0].headers['workos-signature'],
    got[1].headers['workos-signature'],
    'each delivery is signed anew',
  );
  for (const { method, path, headers, body } of got) {
    assert.equal(`${method} ${path}`, 'POST /webhooks/workos');
    const opened = await webhooks.constructEvent({
      payload: JSON.parse(body),
      sigHeader: headers['workos-signature'],
      secret: SECRET,
    });
    assert.equal(opened.event, 'user.deleted');
    assert.equal(opened.data.id, GRACE_ID);
    assert.equal(opened.data.email, 'grace@example.com');
    const forged = { payload: JSON.parse(body), sigHeader: headers['workos-signature'], secret: `${SECRET}!` };
    await assert.rejects(webhooks.constructEvent(forged));
  }
});

test('events go nowhere without an endpoint, and never off this computer', async () => {
  const authkit = createAuthKit();
  const event = authkit.deleteUser(GRACE_ID);
  assert.equal(await authkit.webhooks.deliver(event), null);
  authkit.settings.webhook = { url: 'https://example.com/webhooks/workos', secret: SECRET };
  await assert.rejects(authkit.webhooks.deliver(event), /localhost/);
});
