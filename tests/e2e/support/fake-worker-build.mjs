/**
 * Stands in for worker-build in tests of `npm start`: "compiles" the release bundle of `build/` within
 * milliseconds. A line `// build: {…}` of src/app.rs says how:
 *
 * - `version` is what the Worker then answers at `/.test/version`,
 * - `error` is a compile error to fail with,
 * - `ms` is how long it takes.
 */

import { cpSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';

const args = process.argv.slice(2);
if (!args.includes('--out-dir'))
  throw new Error('the bundle in build/ is older than its sources: run npm run build first');
const folder = args[args.indexOf('--out-dir') + 1];
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
writeFileSync(
  join(folder, 'index.js'),
  `import Bundle from './bundle.js';
export * from './bundle.js';
export default class extends Bundle {
  fetch(request) {
    if (new URL(request.url).pathname === '/.test/version') return new Response(${JSON.stringify(version)});
    return super.fetch(request);
  }
}
`,
);
