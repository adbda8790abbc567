/** Webhooks, opened by WorkOS's own SDK. */

import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createServer } from 'node:http';
import { test } from 'node:test';

import { WorkOS } from '@workos-inc/node';

import { portOf } from '../../tests/e2e/support/values.mjs';
import { createAuthKit, GRACE_ID } from './index.mjs';

const SECRET = 'whsec_of_the_endpoint';
/**
 * @typedef {object} Delivery
 * @property {string | undefined} method
 * @property {string | undefined} path
 * @property {string} signature
 * @property {string} body
 */

const { webhooks } = new WorkOS('sk_test_unused', { clientId: 'client_unused' });

/**
 * An endpoint that keeps the requests it gets, and answers with these statuses in turn.
 *
 * @param {import('node:test').TestContext} t
 * @param {number[]} statuses
 */
async function endpoint(t, ...statuses) {
  /** @type {Delivery[]} */
  const got = [];
  const server = createServer(async (request, response) => {
    const chunks = [];
    for await (const chunk of request) chunks.push(chunk);
    got.push({
      method: request.method,
      path: request.url,
      signature: String(request.headers['workos-signature']),
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
  return { got, url: `http://127.0.0.1:${portOf(server)}/webhooks/workos` };
}

test('deleteUser makes an event that the WorkOS SDK accepts', async (t) => {
  const { got, url } = await endpoint(t, 503, 200);
  let nowMs = Date.now();
  const authkit = createAuthKit({ now: () => nowMs, settings: { webhook: { url, secret: SECRET } } });
  const event = authkit.deleteUser('grace@example.com');
  assert.equal(authkit.findUser(GRACE_ID), undefined);
  assert.throws(() => authkit.deleteUser(GRACE_ID), TypeError);

  assert.equal((await authkit.webhooks.deliver(event))?.status, 503);
  nowMs += 1_000;
  assert.equal((await authkit.webhooks.deliver(event))?.status, 200);
  assert.equal(got.length, 2);
  assert.equal(got[0].body, got[1].body);
  assert.notEqual(got[0].signature, got[1].signature, 'each delivery is signed anew');
  for (const { method, path, signature, body } of got) {
    assert.equal(`${method} ${path}`, 'POST /webhooks/workos');
    const opened = await webhooks.constructEvent({
      payload: JSON.parse(body),
      sigHeader: signature,
      secret: SECRET,
    });
    assert.equal(opened.event, 'user.deleted');
    assert.equal(opened.data.id, GRACE_ID);
    assert.equal(opened.data.email, 'grace@example.com');
    const forged = { payload: JSON.parse(body), sigHeader: signature, secret: `${SECRET}!` };
    await assert.rejects(webhooks.constructEvent(forged));
  }
});

test('deliver sends events to loopback endpoints only', async () => {
  const authkit = createAuthKit();
  const event = authkit.deleteUser(GRACE_ID);
  assert.equal(await authkit.webhooks.deliver(event), null);
  authkit.settings.webhook = { url: 'https://example.com/webhooks/workos', secret: SECRET };
  await assert.rejects(authkit.webhooks.deliver(event), /localhost/);
});
