/**
 * The bundle: `build/index.js` and `build/index_bg.wasm`, made by worker-build with the project's own
 * tools, and the static assets beside it. Does nothing while no source has changed, which is what makes a second start quick. Wrangler
 * calls this file too (`[build]` in wrangler.toml): then it says nothing while all is well.
 *
 *     node local/build.mjs [--report]     --report: set up first, show the compiler, print the sizes
 */

import { createHash } from 'node:crypto';
import { cpSync, existsSync, readFileSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { homedir } from 'node:os';
import { join, relative } from 'node:path';
import { pathToFileURL } from 'node:url';
import { gzipSync } from 'node:zlib';

import { ROOT, Stop, capture, main, step, withLock } from './commands.mjs';
import { BIN, setUp } from './setup.mjs';

const WASM = 'build/index_bg.wasm';
const OUTPUTS = ['build/index.js', WASM];
/** The Worker's static assets: what lies in `assets/`, and of Swagger UI what `/docs` loads. */
const ASSETS = 'build/assets';
const SWAGGER_UI = ['swagger-ui.css', 'swagger-ui-bundle.js', 'swagger-ui-bundle.js.LICENSE.txt', 'favicon-32x32.png'];
/** Which sources the bundle was made from: a hash for each. */
const STAMP = 'build/.sources.json';
/** What rustc uses of WebAssembly. Not all features: binaryen writes some that workerd cannot read yet. */
const WASM_FEATURES = [
  'mutable-globals',
  'sign-ext',
  'nontrapping-float-to-int',
  'bulk-memory',
  'multivalue',
  'reference-types',
];
/** What a build depends on besides what cargo says it read. */
const INPUTS = [
  'Cargo.toml',
  'Cargo.lock',
  'rust-toolchain.toml',
  'build.rs',
  '.cargo/config.toml',
  'package-lock.json',
  'local/build.mjs',
];

const FAILED = "The Worker was not built: see the compiler's words above.";

/**
 * Builds the bundle unless it is there and as new as its sources.
 *
 * @param {"steps" | "all" | "quiet"} show what is seen of a build that goes well
 */
export async function build(show) {
  if (isFresh()) return;
  await withLock('build', async () => {
    if (![BIN.workerBuild, BIN.wasmBindgen, BIN.wasmOpt, BIN.esbuild].every(existsSync)) {
      throw new Stop("The project's tools are not installed yet: run npm run setup, then this again.");
    }
    // Whoever held the lock may have built it.
    if (isFresh()) return;
    const before = hashes(sources());
    // A backtrace would be worker-build's own, not the crate's.
    const env = {
      RUST_BACKTRACE: '0',
      WASM_BINDGEN_BIN: BIN.wasmBindgen,
      WASM_OPT_BIN: BIN.wasmOpt,
      ESBUILD_BIN: BIN.esbuild,
      RUSTFLAGS: rustflags(),
    };
    if (show === 'steps') {
      await step('Building the Worker (about a minute the first time)', BIN.workerBuild, ['--release'], {
        env,
        failure: FAILED,
      });
    } else {
      const { code, output } = await capture(BIN.workerBuild, ['--release'], { env, show: show === 'all' });
      if (code !== 0) {
        if (show === 'quiet') process.stderr.write(output.replace(/^\[INFO\]: .*\n/gm, ''));
        throw new Stop(FAILED);
      }
    }
    await stripNames();
    copyAssets();
    // What changed during the build counts as changed: hashes from before it, for the files cargo names now.
    writeFileSync(join(ROOT, STAMP), JSON.stringify({ ...hashes(sources()), ...before }, null, 1));
  });
}

function copyAssets() {
  rmSync(join(ROOT, ASSETS), { recursive: true, force: true });
  cpSync(join(ROOT, 'assets'), join(ROOT, ASSETS), { recursive: true });
  for (const name of SWAGGER_UI) {
    cpSync(join(ROOT, 'node_modules/swagger-ui-dist', name), join(ROOT, ASSETS, 'docs', name));
  }
}

/** Panic messages name source files: without the paths of whoever's machine this is. */
function rustflags() {
  const cargoHome = process.env.CARGO_HOME ?? join(homedir(), '.cargo');
  const remap = [`--remap-path-prefix=${cargoHome}=cargo`, `--remap-path-prefix=${ROOT}=.`];
  return [process.env.RUSTFLAGS ?? '', ...remap].join(' ').trim();
}

/** Takes the functions' names out, which worker-build leaves in: a fifth of the bundle. Then some code can be shared. */
async function stripNames() {
  const args = [
    ...WASM_FEATURES.map((feature) => `--enable-${feature}`),
    '-Os',
    '--strip-debug',
    '--strip-producers',
    WASM,
    '-o',
    WASM,
  ];
  const { code, output } = await capture(BIN.wasmOpt, args, { env: {}, show: false });
  if (code !== 0) {
    process.stderr.write(output);
    throw new Stop(FAILED);
  }
}

function isFresh() {
  if (![...OUTPUTS, ASSETS].every((path) => existsSync(join(ROOT, path)))) return false;
  try {
    const built = JSON.parse(readFileSync(join(ROOT, STAMP), 'utf8'));
    const now = hashes([...new Set([...sources(), ...Object.keys(built)])]);
    return Object.entries(now).every(([path, hash]) => built[path] === hash);
  } catch {
    return false;
  }
}

/** Everything under src/, crates/ and assets/, the files beside it, and what else cargo noted that the crate includes. */
function sources() {
  return [...new Set([...INPUTS, ...filesUnder('src'), ...filesUnder('crates'), ...filesUnder('assets'), ...noted()])];
}

/** @param {string} folder @returns {string[]} */
function filesUnder(folder) {
  return readdirSync(join(ROOT, folder), { withFileTypes: true }).flatMap((entry) => {
    const path = `${folder}/${entry.name}`;
    return entry.isDirectory() ? filesUnder(path) : [path];
  });
}

/** The files of this project in cargo's dependency notes of the last build: `include_str!` and the like. */
function noted() {
  const folder = join(process.env.CARGO_TARGET_DIR ?? join(ROOT, 'target'), 'wasm32-unknown-unknown', 'release');
  if (!existsSync(folder)) return [];
  return readdirSync(folder)
    .filter((name) => name.endsWith('.d'))
    .flatMap((name) => readFileSync(join(folder, name), 'utf8').split('\n'))
    .flatMap((line) => line.slice(line.indexOf(': ') + 2).split(/(?<!\\) /))
    .map((path) => relative(ROOT, path.replaceAll('\\ ', ' ')))
    .filter((path) => path !== '' && !path.startsWith('..'));
}

/** @param {string[]} paths */
function hashes(paths) {
  return Object.fromEntries(
    paths.map((path) => {
      const full = join(ROOT, path);
      return [path, existsSync(full) ? createHash('sha256').update(readFileSync(full)).digest('hex') : 'absent'];
    }),
  );
}

/** One line for each file of the bundle, and one for all of it. */
export function sizes() {
  const kilobytes = (bytes) => `${(bytes / 1000).toFixed(1)} kB`.padStart(10);
  const line = (name, raw, gzipped) => `${name.padEnd(20)}${kilobytes(raw)}  gzipped${kilobytes(gzipped)}`;
  const files = OUTPUTS.map((path) => {
    const bytes = readFileSync(join(ROOT, path));
    return { path, raw: bytes.length, gzipped: gzipSync(bytes, { level: 9 }).length };
  });
  const sum = (field) => files.reduce((total, file) => total + file[field], 0);
  return [
    ...files.map(({ path, raw, gzipped }) => line(path, raw, gzipped)),
    line('together', sum('raw'), sum('gzipped')),
  ].join('\n');
}

if (import.meta.url === pathToFileURL(process.argv[1]).href) {
  await main(async () => {
    if (!process.argv.includes('--report')) return build('quiet');
    await setUp();
    await build('all');
    console.log(`\n${sizes()}`);
  });
}
