/**
 * The official conformance runner on `/mcp`. It signs nobody in, so a door before the Worker adds a
 * token to what it asks.
 */

import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { once } from 'node:events';
import { createServer, request } from 'node:http';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { promisify } from 'node:util';

import { ROOT } from './support/worker.mjs';
import { startWorld } from './support/world.mjs';

const RUNNER = join(ROOT, 'node_modules/@modelcontextprotocol/conformance/dist/index.js');
const FOLDER = join(ROOT, 'tests/e2e/conformance');
const TIMEOUT_MS = 120_000;

const world = await startWorld({ connect: true });
const token = world.authkit.mintToken();
world.keepSecret(token, 'an access token');

const door = createServer((asked, answered) => {
  const { port } = new URL(world.worker.origin);
  const headers = { ...asked.headers, authorization: `Bearer ${token}` };
  // A connection of its own for each: one that is kept may be closed as it is used.
  const passed = request({ host: '127.0.0.1', port, method: asked.method, path: asked.url, headers, agent: false }, (answer) => {
    answered.writeHead(answer.statusCode, answer.headers);
    answer.pipe(answered);
  });
  passed.once('error', () => answered.destroy());
  asked.pipe(passed);
});
door.listen(0, '127.0.0.1');
await once(door, 'listening');
after(() => door.close());

/** @param {string[]} options */
async function run(...options) {
  const url = `http://localhost:${door.address().port}/mcp`;
  const args = ['--import', join(FOLDER, 'node-20.mjs'), RUNNER, 'server', '--url', url, ...options];
  try {
    const { stdout } = await promisify(execFile)(process.execPath, args, { timeout: TIMEOUT_MS, maxBuffer: 1e8 });
    return { code: 0, output: stdout };
  } catch (error) {
    return { code: error.code ?? error.signal, output: `${error.stdout}\n${error.stderr}` };
  }
}

test('what applies passes, and what is expected to fail does, with nothing else', async () => {
  const { code, output } = await run('--expected-failures', join(FOLDER, 'expected-failures.yml'));
  assert.equal(code, 0, output.slice(output.indexOf('=== SUMMARY')));
  for (const scenario of ['server-initialize', 'ping', 'tools-list', 'dns-rebinding-protection']) {
    assert.match(output, new RegExp(`✓ ${scenario}: [1-9]\\d* passed, 0 failed`), scenario);
  }
});

test('no answer and no log line holds a secret', async () => {
  await world.bearer(token).request('GET', '/expenses');
  await world.assertNothingLeaked();
});
