/** The entry that `thin-entry.mjs` writes, from the bindings that it finds. */

import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';

const THIN_ENTRY = fileURLToPath(new URL('../thin-entry.mjs', import.meta.url));
const BINDINGS = `
import { connect } from './snippets/edge-host-1/src/workers/isolate.js';
export class Counter {
    alarm(info) {}
}
export class Other {
}
export function fetch(request, env, context) {}
`;

/** @param {string} bindings */
function write(bindings) {
  const folder = mkdtempSync(join(tmpdir(), 'thin-entry-'));
  writeFileSync(join(folder, 'index.js'), bindings);
  writeFileSync(join(folder, 'shim.js'), 'the entry of worker-build');
  const env = { ...process.env, THIN_ENTRY_ESBUILD: process.execPath };
  const { status, stderr } = spawnSync(process.execPath, [THIN_ENTRY, '--version'], {
    cwd: folder,
    env,
    encoding: 'utf8',
  });
  const shim = readFileSync(join(folder, 'shim.js'), 'utf8');
  rmSync(folder, { recursive: true });
  return { status, stderr, shim };
}

test('entry exports the classes of objects alone', () => {
  const { status, shim } = write(BINDINGS);
  assert.equal(status, 0);
  assert.match(shim, /export \{ CounterObject as Counter \};/);
  assert.doesNotMatch(shim, /Other/);
});

test('module with a handler that the entry would leave out is refused', () => {
  for (const handler of ['scheduled', 'queue', 'email', 'tail']) {
    const { status, stderr, shim } = write(`${BINDINGS}export function ${handler}(event, env, context) {}\n`);
    assert.notEqual(status, 0, handler);
    assert.match(stderr, new RegExp(`exports ${handler}\\(\\)`));
    assert.equal(shim, 'the entry of worker-build');
  }
});
