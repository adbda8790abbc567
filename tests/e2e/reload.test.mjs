/** The edit-reload loop of `npm start`, with a stand-in for the compiler (support/fake-worker-build.mjs). */

import assert from 'node:assert/strict';
import { readFileSync, renameSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { beforeEach, test } from 'node:test';

import { clone, freePorts, interrupt, printed, printedAddress, start } from './support/npm-start.mjs';
import { present } from './support/values.mjs';

/** How long a request may wait while a build runs: far less than the build. */
const ANSWER_MS = 2_000;
const BUILD_MS = 5_000;

const SOURCE = join(clone, 'src', 'app.rs');
const ORIGINAL = readFileSync(SOURCE, 'utf8');

/** Saves in one step, as many editors do: a watcher may see an empty file between the two steps of a write. @param {{ version?: string, error?: string, ms?: number }} build */
function save(build) {
  const written = join(clone, 'app.rs.new');
  writeFileSync(written, `// build: ${JSON.stringify(build)}\n${ORIGINAL}`);
  renameSync(written, SOURCE);
}

/** @param {string} address */
async function servedVersion(address) {
  const response = await fetch(`${address}/.test/version`, { signal: AbortSignal.timeout(ANSWER_MS) });
  assert.equal(response.status, 200);
  return response.text();
}

beforeEach(() => writeFileSync(SOURCE, ORIGINAL));

test('a save reloads the Worker, a compile error does not', async () => {
  const ports = await freePorts();
  const started = start(...ports);
  const address = await printedAddress(started);
  await printed(started, /Prepared in \d+\.\d s\./);
  /**
   * Saves, and waits for what npm start prints of it.
   *
   * @param {Parameters<typeof save>[0]} build
   * @param {RegExp} pattern
   * @returns {Promise<string>} everything printed since the save
   */
  const saveAndWait = async (build, pattern) => {
    const from = started.output.length;
    save(build);
    await printed(started, pattern, from);
    return started.output.slice(from);
  };

  const first = await saveAndWait({ version: 'one' }, /Reloaded/);
  assert.match(first, /^src\/app\.rs changed\. Building …\nReloaded in \d+\.\d s\.\n$/);
  assert.equal(await servedVersion(address), 'one');

  const failed = await saveAndWait({ error: 'expected `;`, found `}`' }, /still served/);
  assert.match(failed, /^src\/app\.rs changed\. Building …\nerror: expected `;`, found `}`\n --> src\/app\.rs:1:1\n/m);
  assert.match(failed, /The Worker was not built: .* The last good build is still served\. \(\d+\.\d s\)\n$/);
  assert.doesNotMatch(failed, /\[INFO\]|Caused by/, "worker-build's own account is left out");
  assert.equal(await servedVersion(address), 'one');
  assert.equal((await fetch(`${address}/health`)).status, 200);

  // While a build runs, the last one answers; a save meanwhile is built afterwards.
  const from = started.output.length;
  save({ version: 'two', ms: BUILD_MS });
  await printed(started, /Building …/, from);
  assert.equal(await servedVersion(address), 'one');
  save({ version: 'three' });
  assert.equal(await servedVersion(address), 'one');
  await printed(started, /Reloaded[\s\S]*Reloaded/, from);
  assert.equal(await servedVersion(address), 'three');

  assert.equal((await fetch(`${address}/robots.txt`)).status, 200, 'a copy of the bundle has its assets');

  const beforeLast = started.output.length;
  save({ version: 'four', ms: BUILD_MS });
  await printed(started, /Building …/, beforeLast);
  await interrupt(started, ports);
  assert.doesNotMatch(started.output.slice(beforeLast), /not built/, 'an interrupted build is no failed one');
});

test('only a complete change of .dev.vars reloads the Worker', async () => {
  const ports = await freePorts();
  const variables = {
    WORKOS_API_KEY: 'sk_test_reload',
    WORKOS_CLIENT_ID: 'client_one',
    WORKOS_COOKIE_PASSWORD: '0123456789abcdef0123456789abcdef',
  };
  const write = (/** @type {Partial<typeof variables>} */ changed) => {
    const lines = Object.entries({ ...variables, ...changed }).map(([name, value]) => `${name}="${value}"\n`);
    writeFileSync(join(clone, '.dev.vars'), lines.join(''));
  };
  write({});
  const started = start(...ports);
  const address = await printedAddress(started);
  const clientId = async () => {
    const response = await fetch(`${address}/login`, { redirect: 'manual' });
    return new URL(present(response.headers.get('location'))).searchParams.get('client_id');
  };
  assert.equal(await clientId(), 'client_one');

  let from = started.output.length;
  write({ WORKOS_CLIENT_ID: 'client_two' });
  await printed(started, /\.dev\.vars changed[\s\S]*Reloaded in/, from);
  assert.equal(await clientId(), 'client_two');

  from = started.output.length;
  write({ WORKOS_COOKIE_PASSWORD: '' });
  await printed(started, /\.dev\.vars is half filled in.*still served/, from);
  assert.equal(await clientId(), 'client_two');

  from = started.output.length;
  write({ WORKOS_API_KEY: '', WORKOS_CLIENT_ID: '' });
  await printed(started, /\.dev\.vars now leads to the local AuthKit: .*start it again/, from);
  assert.equal(await clientId(), 'client_two');
  assert.doesNotMatch(started.output, /sk_test_reload|0123456789abcdef/);
  await interrupt(started, ports);
});
