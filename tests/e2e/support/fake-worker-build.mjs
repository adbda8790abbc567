#!/usr/bin/env node
/**
 * Stands in for worker-build in tests of `npm start`: "compiles" the release bundle of `build/` within
 * milliseconds. A line `// build: {…}` of src/app.rs says how:
 *
 * - `version` is the Worker's response at `/.test/version`,
 * - `error` is a compile error to fail with,
 * - `ms` is how long it takes.
 */

import { spawnSync } from 'node:child_process';
import { cpSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';

const WORKER_BUILD = fileURLToPath(new URL('../../../.tools/bin/worker-build', import.meta.url));
const VERSIONED = fileURLToPath(new URL('runtime/versioned.mjs', import.meta.url));

const args = process.argv.slice(2);
// Set-up asks for the version, and would install the real one over another.
if (args.includes('--version')) {
  const { status } = spawnSync(WORKER_BUILD, ['--version'], { stdio: 'inherit' });
  process.exit(status ?? 1);
}
if (args.includes('--release'))
  throw new Error('the bundle in build/ is older than its sources: run npm run build first');
const folder = join(args[0], args[args.indexOf('--out-dir') + 1]);
const source = readFileSync('src/app.rs', 'utf8');
const { version = '', error, ms = 0 } = JSON.parse(/^\/\/ build: (.*)$/m.exec(source)?.[1] ?? '{}');

console.error('[INFO]: Compiling to Wasm...');
await pause(ms);
if (error) {
  console.error(
    `error: ${error}\n --> src/app.rs:1:1\n\nError: Compiling your crate to WebAssembly failed\n\nCaused by: …`,
  );
  process.exit(1);
}

mkdirSync(folder, { recursive: true });
cpSync('build/index_bg.wasm', join(folder, 'index_bg.wasm'));
cpSync('build/index.js', join(folder, 'bundle.js'));
cpSync(VERSIONED, join(folder, 'index.js'));
writeFileSync(join(folder, 'version.js'), `export const version = ${JSON.stringify(version)};\n`);
