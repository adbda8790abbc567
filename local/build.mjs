/**
 * A Worker's bundle: `index.js` and `index_bg.wasm`, made by worker-build with the project's own tools, and
 * the static assets beside it. `RELEASE` is the bundle for deployment and tests, `DEVELOPMENT` the one for
 * `npm start`. A build does nothing while no source has changed. Wrangler calls this file too (`[build]` in
 * wrangler.toml): then it prints only errors.
 *
 *     node local/build.mjs [--report]     --report: set up first, show the compiler, print the sizes
 */

import { createHash } from 'node:crypto';
import { cpSync, existsSync, readFileSync, readdirSync, realpathSync, rmSync, writeFileSync } from 'node:fs';
import { homedir } from 'node:os';
import { join, relative } from 'node:path';
import { pathToFileURL } from 'node:url';
import { gzipSync } from 'node:zlib';

import { ROOT, Stop, capture, main, step, withLock } from './commands.mjs';
import { BIN, setUp } from './setup.mjs';
import { namedBySimilarity } from './similarity.mjs';
import { importNames, withCounters, withExports, withImports, withoutAlignment } from './wasm.mjs';

/**
 * A Worker of this repository. Paths are relative to the project's folder.
 *
 * @typedef {object} Worker
 * @property {string} title     its name in messages
 * @property {string} folder    the folder of its bundle, state and variables
 * @property {string} [crate]   its crate's folder, if that is another
 * @property {string} config    its configuration for Wrangler, in TOML
 * @property {string[]} sources folders whose files are part of its bundle, besides those that cargo reports
 * @property {string} [assets]  the folder of its static assets
 * @property {string} [application] the package of its application, if that is to be small rather than fast
 * @property {boolean} [hasThinEntry] whether its entry is edge-host's instead of worker-build's
 * @property {boolean} [hasSwaggerUi] whether its `/docs` page loads Swagger UI
 */

/** The expense tracker. @type {Worker} */
export const EXPENSES = {
  title: 'the Worker',
  folder: '.',
  crate: 'crates/worker',
  config: 'wrangler.toml',
  sources: ['src', 'crates'],
  assets: 'assets',
  application: 'authkit-edge',
  hasThinEntry: true,
  hasSwaggerUi: true,
};

/**
 * How a bundle is built: with which profile of Cargo.toml, and into which folder.
 *
 * @typedef {object} Mode
 * @property {string} profile
 * @property {string[]} args for worker-build
 * @property {string} folder of the bundle, in the Worker's folder
 * @property {boolean} isStripped whether the names of functions are taken out
 * @property {string} about
 */

/** What is deployed and tested. @type {Mode} */
export const RELEASE = {
  profile: 'release',
  args: ['--release'],
  folder: 'build',
  isStripped: true,
  about: '(about a minute the first time)',
};

/** What `npm start` serves: built again within seconds after a change. @type {Mode} */
export const DEVELOPMENT = {
  profile: 'worker-dev',
  args: ['--profile', 'worker-dev', '--no-opt'],
  folder: 'build/dev',
  isStripped: false,
  about: 'for development (a minute or two the first time, seconds after that)',
};

/** The release bundle with the names of its functions, for `npm run profile`. @type {Mode} */
export const PROFILE = {
  profile: 'release',
  args: ['--release'],
  folder: 'build/profile',
  isStripped: false,
  about: 'with names (about a minute the first time)',
};

/** What worker-build runs in place of esbuild. */
const THIN_ENTRY = join(ROOT, 'crates/edge/thin-entry.mjs');

const SCRIPT = 'index.js';
const WASM = 'index_bg.wasm';
const ASSETS = 'assets';
/** Which sources the bundle was made from: a hash for each. */
const STAMP = '.sources.json';
/** What `/docs` loads. */
const SWAGGER_UI = ['swagger-ui.css', 'swagger-ui-bundle.js', 'swagger-ui-bundle.js.LICENSE.txt', 'favicon-32x32.png'];
/** What rustc uses of WebAssembly. Not all features: binaryen writes some that workerd cannot read yet. */
const WASM_FEATURES = [
  'mutable-globals',
  'sign-ext',
  'nontrapping-float-to-int',
  'bulk-memory',
  'multivalue',
  'reference-types',
  'exception-handling',
];
/**
 * The passes of wasm-opt. The lowest kilobyte of memory is the far end of the stack, which no value has as its address: so
 * an offset that is added to an address becomes a part of the instruction that reads there. Functions of a few
 * instructions are inlined: a new isolate takes as long to begin one as to compile a hundred bytes. With larger ones the
 * bundle would be larger once it is gzipped, because functions that were similar no longer would be. The second and the
 * third round find what the one before has made possible. The functions that are called most come first, where their
 * indices have one byte.
 */
const WASM_PASSES = [
  '-Oz',
  '-Oz',
  '-Oz',
  '--low-memory-unused',
  '--always-inline-max-function-size=5',
  '--one-caller-inline-max-function-size=12',
  '--flexible-inline-max-function-size=0',
  '--skip-pass=dae-optimizing',
  '--reorder-functions',
];
/**
 * Compiles the standard library for size too: rustup's is compiled for speed, and is 11 kB larger in the gzipped bundle.
 * Cargo does this on a stable compiler only when asked so; rust-toolchain.toml pins the compiler and has its sources.
 */
const SMALL_STANDARD_LIBRARY = {
  RUSTC_BOOTSTRAP: '1',
  CARGO_UNSTABLE_BUILD_STD: 'std,panic_abort',
  CARGO_UNSTABLE_BUILD_STD_FEATURES: 'optimize_for_size',
};
/** Leaves out exports that nothing uses. */
const LINKER = { CARGO_TARGET_WASM32_UNKNOWN_UNKNOWN_LINKER: join(ROOT, 'local/linker.mjs') };
/**
 * A panic message names the file and the line: the columns would be half a kilobyte. Of a value it has the name of the
 * variant; derived `Debug` would be another kilobyte, and nothing else prints it.
 */
const SHORT_PANICS = '-Zlocation-detail=file,line -Zfmt-debug=shallow';
/**
 * rustc inlines the smallest functions before LLVM compiles them, as it does by itself unless it compiles for size. That
 * saves calls, and copies of values in memory: a page takes 6 % less, and an isolate starts 2 ms earlier. Its bound for
 * functions with `#[inline]` is its own, 100, and for others 30: with 50, its own, a read makes 90 calls fewer, of 3,700,
 * and the bundle is 1.5 kB larger, gzipped. Into the application's package it inlines nothing: that would be 5 kB, and
 * saves a read 50 calls.
 */
const INLINING = {
  env: { CARGO_UNSTABLE_PROFILE_RUSTFLAGS: 'true' },
  /** @param {string} [application] */
  args: (application) =>
    [
      "profile.release.rustflags=['-Zinline-mir=yes', '-Zinline-mir-threshold=30']",
      // What the compiler itself runs.
      'profile.release.build-override.rustflags=[]',
      ...(application ? [`profile.release.package.${application}.rustflags=[]`] : []),
    ].flatMap((setting) => ['--config', setting]),
};
/** Inputs of a build beside those that cargo reports. */
const INPUTS = [
  'Cargo.toml',
  'Cargo.lock',
  'rust-toolchain.toml',
  'build.rs',
  '.cargo/config.toml',
  'package-lock.json',
  'local/build.mjs',
  'local/eager.mjs',
  'local/linker.mjs',
  'local/similarity.mjs',
  'local/wasm.mjs',
];

const FAILED = "The Worker was not built: see the compiler's words above.";

/**
 * Builds the bundle unless it is there and as new as its sources.
 *
 * @param {"steps" | "all" | "quiet"} show how much a successful build prints
 * @param {{ worker?: Worker, mode?: Mode }} [options]
 */
export async function build(show, { worker = EXPENSES, mode = RELEASE } = {}) {
  if (isFresh(worker, mode)) return;
  await withLock('build', async () => {
    if (![BIN.workerBuild, BIN.wasmBindgen, BIN.wasmOpt, BIN.esbuild].every(existsSync)) {
      throw new Stop("The project's tools are not installed yet: run npm run setup, then this again.");
    }
    // Another process may have built it while this one waited for the lock.
    if (isFresh(worker, mode)) return;
    const before = hashes(sources(worker, mode));
    // A backtrace would be worker-build's own, not the crate's.
    const flags = await rustflags();
    const env = {
      RUST_BACKTRACE: '0',
      WASM_BINDGEN_BIN: BIN.wasmBindgen,
      WASM_OPT_BIN: BIN.wasmOpt,
      ...(worker.hasThinEntry
        ? { ESBUILD_BIN: THIN_ENTRY, THIN_ENTRY_ESBUILD: BIN.esbuild }
        : { ESBUILD_BIN: BIN.esbuild }),
      RUSTFLAGS: mode.profile === 'release' ? `${flags} ${SHORT_PANICS}` : flags,
      ...(mode.profile === 'release' ? { ...SMALL_STANDARD_LIBRARY, ...LINKER, ...INLINING.env } : {}),
      ...(mode === PROFILE ? { NO_MINIFY: '1' } : {}),
    };
    // worker-build takes the folder first, and what follows the options goes to cargo.
    const crate = worker.crate ?? worker.folder;
    const out = relative(join(ROOT, crate), bundleFolder(worker, mode));
    const inlining = mode.profile === 'release' ? INLINING.args(worker.application) : [];
    const args = [crate, ...mode.args, '--out-dir', out, ...inlining];
    if (show === 'steps') {
      await step(`Building ${worker.title} ${mode.about}`, BIN.workerBuild, args, { env, failure: FAILED });
    } else {
      /** @type {Record<string, string>} */
      const colour = process.stderr.isTTY && !process.env.NO_COLOR ? { CARGO_TERM_COLOR: 'always' } : {};
      const { code, output } = await capture(BIN.workerBuild, args, {
        env: { ...env, ...colour },
        show: show === 'all',
      });
      if (code !== 0) {
        if (show === 'quiet') process.stderr.write(compilerOutput(output));
        throw new Stop(FAILED);
      }
    }
    const folder = bundleFolder(worker, mode);
    const stamp = join(folder, STAMP);
    // What is ended from here on leaves no bundle that seems to be of the sources before.
    rmSync(stamp, { force: true });
    if (mode.profile === 'release') await optimize(folder, mode.isStripped);
    if (worker.assets) copyAssets(worker.assets, join(folder, ASSETS));
    if (worker.assets && worker.hasSwaggerUi) copySwaggerUi(join(folder, ASSETS, 'docs'));
    // What changed during the build counts as changed: hashes from before it, for the files cargo names now.
    writeFileSync(stamp, JSON.stringify({ ...hashes(sources(worker, mode)), ...before }, null, 1));
  });
}

/** The folder of a bundle, absolute. @param {Worker} worker @param {Mode} mode */
export function bundleFolder(worker, mode) {
  return join(ROOT, worker.folder, mode.folder);
}

/**
 * Copies a bundle with its assets to a folder that later builds leave as it is.
 *
 * @param {Worker} worker
 * @param {Mode} mode
 * @param {string} to
 * @returns {{ script: string, assets?: string }} where its parts are
 */
export function copyBundle(worker, mode, to) {
  const from = bundleFolder(worker, mode);
  for (const entry of readdirSync(from, { withFileTypes: true })) {
    // Not the notes of worker-build and of this file. Other folders are worker-build's, and in `build/` other bundles and
    // what compiles them.
    const isPart = entry.isDirectory() ? entry.name === ASSETS : !entry.name.startsWith('.');
    if (isPart) cpSync(join(from, entry.name), join(to, entry.name), { recursive: true });
  }
  return { script: join(to, SCRIPT), ...(worker.assets ? { assets: join(to, ASSETS) } : {}) };
}

/**
 * Copies a bundle, with counters of calls and of iterations for each function of its module.
 *
 * @param {Worker} worker
 * @param {Mode} mode
 * @param {string} to
 */
export function copyWithCounters(worker, mode, to) {
  const { script } = copyBundle(worker, mode, to);
  const module = join(to, WASM);
  const { wasm, counters } = withCounters(readFileSync(module));
  writeFileSync(module, wasm);
  return { script, counters };
}

/** @param {string} from @param {string} to */
function copyAssets(from, to) {
  rmSync(to, { recursive: true, force: true });
  // A linked folder, as in the tests' clone, is copied: files added to the copy must not land in the original.
  cpSync(join(ROOT, from), to, { recursive: true, dereference: true });
}

/** @param {string} to */
function copySwaggerUi(to) {
  for (const name of SWAGGER_UI) cpSync(join(ROOT, 'node_modules/swagger-ui-dist', name), join(to, name));
}

/** What cargo printed, without worker-build's progress and its own account of the failure. @param {string} output */
function compilerOutput(output) {
  return output.replace(/^\[INFO\]: .*\n/gm, '').replace(/\nError: Compiling your crate[\s\S]*$/, '\n');
}

/** Panic messages name source files: without the paths of this machine. */
async function rustflags() {
  const cargoHome = process.env.CARGO_HOME ?? join(homedir(), '.cargo');
  const { output } = await capture('rustc', ['--print', 'sysroot'], { env: {} });
  const standardLibrary = join(realpathSync(output.trim()), 'lib/rustlib/src/rust');
  const remap = [
    `--remap-path-prefix=${cargoHome}=cargo`,
    `--remap-path-prefix=${ROOT}=.`,
    `--remap-path-prefix=${standardLibrary}=rust`,
  ];
  return [process.env.RUSTFLAGS ?? '', ...remap].join(' ').trim();
}

/**
 * Makes the code smaller and ready before the first request, and takes out the functions' names, which are a fifth of the
 * bundle. Exports that the script does not name go with the code behind them: the crate `worker` exports classes that the
 * bundle does not use.
 *
 * @param {string} folder
 * @param {boolean} isStripped
 */
async function optimize(folder, isStripped) {
  const wasm = join(folder, WASM);
  const features = WASM_FEATURES.map((feature) => `--enable-${feature}`);
  const run = async (/** @type {string[]} */ ...passes) => {
    const args = [...features, ...passes, wasm, '-o', wasm];
    const { code, output } = await capture(BIN.wasmOpt, args, { env: {}, show: false });
    if (code !== 0) {
      process.stderr.write(output);
      throw new Stop(FAILED);
    }
  };
  // Here, because TypeScript's parser takes a third of a second to load, and a bundle is nearly always there.
  const { withEagerFunctions } = await import('./eager.mjs');
  const script = withEagerFunctions(readFileSync(join(folder, SCRIPT), 'utf8'));
  writeFileSync(join(folder, SCRIPT), script);
  const words = new Set(script.match(/[\w$]+/g));
  writeFileSync(
    wasm,
    withExports(readFileSync(wasm), (name) => words.has(name)),
  );
  await run(...WASM_PASSES, '--debuginfo');
  if (!isStripped) return;
  writeFileSync(wasm, await namedBySimilarity(withoutAlignment(readFileSync(wasm))));
  await run('--reorder-functions-by-name', '--strip-debug', '--strip-producers', '--strip-target-features');
  shortenImports(folder);
}

/** wasm-bindgen's names of imports end in hashes, once in the module and once in the script. @param {string} folder */
function shortenImports(folder) {
  const [script, wasm] = [join(folder, SCRIPT), join(folder, WASM)];
  const bytes = readFileSync(wasm);
  const hashed = importNames(bytes).filter((name) => /^__wb\w+_[0-9a-f]{16}$/.test(name));
  const short = new Map(hashed.map((name, index) => [name, `i${index}`]));
  const shortOf = (/** @type {string} */ name) => short.get(name) ?? name;
  writeFileSync(wasm, withImports(bytes, shortOf));
  writeFileSync(script, readFileSync(script, 'utf8').replace(/[\w$]+/g, shortOf));
}

/** Whether the bundle is as new as its sources. @param {Worker} worker @param {Mode} mode */
export function isFresh(worker, mode) {
  const folder = bundleFolder(worker, mode);
  const parts = [SCRIPT, WASM, ...(worker.assets ? [ASSETS] : [])];
  if (!parts.every((name) => existsSync(join(folder, name)))) return false;
  try {
    const built = JSON.parse(readFileSync(join(folder, STAMP), 'utf8'));
    const now = hashes([...new Set([...sources(worker, mode), ...Object.keys(built)])]);
    return Object.entries(now).every(([path, hash]) => built[path] === hash);
  } catch {
    return false;
  }
}

/**
 * Everything in the folders of sources and assets, the files beside them, and what else cargo noted that the
 * crate includes.
 *
 * @param {Worker} worker
 * @param {Mode} mode
 */
export function sources(worker, mode) {
  const folders = [...worker.sources, ...(worker.assets ? [worker.assets] : [])];
  const crate = worker.crate ?? worker.folder;
  return [...new Set([...INPUTS, join(crate, 'Cargo.toml'), ...folders.flatMap(filesUnder), ...noted(crate, mode)])];
}

/** @param {string} folder @returns {string[]} */
function filesUnder(folder) {
  if (!existsSync(join(ROOT, folder))) return [];
  return readdirSync(join(ROOT, folder), { withFileTypes: true }).flatMap((entry) => {
    const path = `${folder}/${entry.name}`;
    return entry.isDirectory() ? filesUnder(path) : [path];
  });
}

/**
 * The files of this project in cargo's dependency notes of the crate's last build: `include_str!` and the like. The notes
 * of other Workers' builds lie beside them.
 *
 * @param {string} crate its folder
 * @param {Mode} mode
 */
function noted(crate, mode) {
  const target = process.env.CARGO_TARGET_DIR ?? join(ROOT, 'target');
  const name = /^name = "(.+)"$/m.exec(readFileSync(join(ROOT, crate, 'Cargo.toml'), 'utf8'))?.[1].replaceAll('-', '_');
  const notes = join(target, 'wasm32-unknown-unknown', mode.profile, `${name}.d`);
  if (!existsSync(notes)) return [];
  return readFileSync(notes, 'utf8')
    .split('\n')
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

/** One line for each file of the release bundle, and one for all of it. @param {Worker} [worker] */
export function sizes(worker = EXPENSES) {
  const kilobytes = (/** @type {number} */ bytes) => `${(bytes / 1000).toFixed(1)} kB`.padStart(10);
  /** @param {string} name @param {number} raw @param {number} gzipped */
  const line = (name, raw, gzipped) => `${name.padEnd(20)}${kilobytes(raw)}  gzipped${kilobytes(gzipped)}`;
  const files = [SCRIPT, WASM].map((name) => {
    const bytes = readFileSync(join(bundleFolder(worker, RELEASE), name));
    const path = join(worker.folder, RELEASE.folder, name);
    return { path, raw: bytes.length, gzipped: gzipSync(bytes, { level: 9 }).length };
  });
  const sum = (/** @type {'raw' | 'gzipped'} */ field) => files.reduce((total, file) => total + file[field], 0);
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
