/**
 * The official conformance runner on `/mcp`, in each revision that is spoken there and for which the
 * runner has scenarios. What fails is listed
 * in conformance/expected-failures.json, with the reason. Strict both ways: a check that fails and is not
 * there fails the test, and so does one that is there and has not failed.
 */

import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createServer, request } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { stripVTControlCharacters } from 'node:util';

import { portOf, present } from './support/values.mjs';
import { startWorld } from './support/world.mjs';

const RUNNER = fileURLToPath(import.meta.resolve('@modelcontextprotocol/conformance/dist/index.js'));
/** More than enough for all scenarios of a revision, which take some seconds. */
const TIMEOUT_MS = 120_000;
const ON_NODE_20 = new URL('conformance/node-20.mjs', import.meta.url).href;

/** By reason, the checks that fail, each as `scenario:check` with the revisions in which it does. */
const EXPECTED_FAILURES = /** @type {Record<string, Record<string, string>>} */ (
  JSON.parse(readFileSync(new URL('conformance/expected-failures.json', import.meta.url), 'utf8'))
);

const world = await startWorld({ connect: true });
const token = world.authkit.mintConnectToken({ expSecs: 3600 });
const folder = mkdtempSync(join(tmpdir(), 'authkit-edge-conformance-'));
after(() => rmSync(folder, { recursive: true }));

/** The runner sends no token: it talks to this server, which passes everything on as it came, and adds one. */
const relay = createServer((incoming, answer) => {
  const { method, url: path } = incoming;
  const headers = { ...incoming.headers, authorization: `Bearer ${token}` };
  // A connection of its own for each: one that is kept may be closed as it is used.
  const sent = request(world.worker.origin, { method, path, headers, agent: false }, (response) => {
    answer.writeHead(response.statusCode ?? 502, response.headers);
    response.pipe(answer);
  });
  sent.on('error', () => answer.destroy());
  incoming.pipe(sent);
});
relay.listen(0, '127.0.0.1');
await once(relay, 'listening');
after(() => {
  relay.closeAllConnections();
  relay.close();
});

/** @param {string} revision @returns {string[]} */
function expectedIn(revision) {
  return Object.values(EXPECTED_FAILURES).flatMap((checks) =>
    Object.keys(checks).filter((check) => checks[check].split(' ').includes(revision)),
  );
}

/** @param {string[]} args @returns {Promise<{ code: number, output: string }>} */
async function run(args) {
  const child = spawn(process.execPath, ['--import', ON_NODE_20, RUNNER, 'server', ...args], {
    cwd: folder,
    timeout: TIMEOUT_MS,
    env: { ...process.env, NO_COLOR: '1' },
  });
  let output = '';
  for (const stream of [child.stdout, child.stderr]) stream.setEncoding('utf8').on('data', (text) => (output += text));
  const [code] = await once(child, 'close');
  return { code, output: stripVTControlCharacters(output) };
}

for (const revision of ['2025-06-18', '2025-11-25', '2026-07-28']) {
  test(`it conforms to ${revision}, but for what is expected`, async (t) => {
    const expected = expectedIn(revision);
    // JSON is YAML, which the runner wants.
    const baseline = join(folder, `${revision}.yaml`);
    writeFileSync(baseline, JSON.stringify({ server: expected }));
    const url = `http://localhost:${portOf(relay)}/mcp`;
    const { code, output } = await run([
      '--url',
      url,
      '--suite',
      'all',
      '--spec-version',
      revision,
      '--expected-failures',
      baseline,
    ]);
    assert.equal(code, 0, output);
    const failed = [...output.matchAll(/^ {2}~ (\S+)$/gm)].map(([, check]) => check);
    assert.deepEqual(failed.sort(), expected.sort(), 'of an entry that it has not come to the runner says nothing');
    const [total, passed] = present(/^Total: (\d+) passed.*$/m.exec(output));
    assert.ok(Number(passed) > 0, total);
    t.diagnostic(total);
  });
}

test('no answer and no log line holds a secret', async () => {
  await world.bearer(token).request('GET', '/expenses');
  await world.assertNothingLeaked();
});
