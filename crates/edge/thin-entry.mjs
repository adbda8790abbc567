#!/usr/bin/env node
/**
 * Bundles a Worker with edge-host's entry, which costs a request less than worker-build's own: no proxies, one call
 * into the module, and an application that is there before the first request. worker-build runs this in place of esbuild:
 *
 *     ESBUILD_BIN=thin-entry.mjs THIN_ENTRY_ESBUILD=<path of esbuild> worker-build --release
 *
 * It replaces `shim.js`, the entry that worker-build has just written, and runs esbuild with the same arguments.
 */

import { spawnSync } from 'node:child_process';
import { readFileSync, writeFileSync } from 'node:fs';

const ESBUILD = process.env.THIN_ENTRY_ESBUILD;
if (!ESBUILD) throw new Error('THIN_ENTRY_ESBUILD is not set: it is the path of esbuild.');

const bindings = readFileSync('index.js', 'utf8');
const isolate = /from ["'](\.\/snippets\/edge-host-[^"']+\/isolate\.js)["']/.exec(bindings)?.[1];
if (!isolate) throw new Error('The module has no part of edge-host: does the crate call edge_host::serve!?');
const handler = /^export function (scheduled|queue|email|tail)\(/m.exec(bindings)?.[1];
if (handler) {
  throw new Error(
    `The module exports ${handler}(), and this entry serves requests and Durable Objects alone: build without ESBUILD_BIN, and worker-build's own entry serves it.`,
  );
}
// Classes of Durable Objects are those with an alarm; `worker` exports others.
const classes = [...bindings.matchAll(/^export class (\w+) \{([\s\S]*?)^\}/gm)];
const objects = classes.filter(([, , body]) => /^\s+alarm\(/m.test(body)).map(([, name]) => name);

const imports = ['__wbg_reset_state', ...objects].join(', ');
const entry = [
  "import { env } from 'cloudflare:workers';",
  `import { ${imports} } from './index.js';`,
  `import { entry, objectClass } from '${isolate}';`,
  'export default entry({ __wbg_reset_state }, env);',
  ...objects.map((name) => `const ${name}Object = objectClass({ __wbg_reset_state }, ${name});`),
  ...objects.map((name) => `export { ${name}Object as ${name} };`),
];
writeFileSync('shim.js', `${entry.join('\n')}\n`);
// Without these effects, esbuild leaves out the classes that nothing uses. Classes are not disposed of by `using`.
const withoutEffects = bindings
  .replace(/^if \(Symbol\.dispose\) .*\n/gm, '')
  .replace(/^ +: new FinalizationRegistry\(/gm, '    : /* @__PURE__ */ new FinalizationRegistry(');
writeFileSync('index.js', withoutEffects);

const { status } = spawnSync(ESBUILD, process.argv.slice(2), { stdio: 'inherit' });
process.exit(status ?? 1);
