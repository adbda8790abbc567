/**
 * Set-up: installs everything the other commands need, in the versions that this repository pins, and nothing
 * outside the project's folder except Rust components of the pinned toolchain. It compares versions first, so
 * that it takes a fraction of a second when nothing is missing. It runs before any package is installed and
 * therefore uses Node's built-ins only.
 */

import { existsSync, mkdirSync, readFileSync, rmSync } from 'node:fs';
import { homedir } from 'node:os';
import { basename, delimiter, join } from 'node:path';
import { pathToFileURL } from 'node:url';

import { ROOT, Stop, capture, main, step, withLock } from './commands.mjs';

const NODE_MAJOR = 20;
/** The release that matches the `worker` crate in Cargo.toml. */
const WORKER_BUILD = '0.8.7';
const WASM_TARGET = 'wasm32-unknown-unknown';
const RUST_COMPONENTS = ['rustfmt', 'clippy', 'rust-src'];

/** Cloudflare's build service sets it. Its image has no Rust, and a container of its own for each build. */
const IS_BUILD_SERVICE = process.env.WORKERS_CI === '1';
/** rustup's own installation, without a toolchain: the pinned one follows. */
const INSTALL_RUSTUP =
  "curl --proto '=https' --tlsv1.2 -sSf https://sh.rustup.rs | sh -s -- -y --profile minimal --default-toolchain none --no-modify-path";
const CARGO_BIN = join(process.env.CARGO_HOME ?? join(homedir(), '.cargo'), 'bin');

const RUSTUP_HINT = 'Install Rust with rustup (https://rustup.rs), open a new terminal and run the command again.';

const TOOLS = join(ROOT, '.tools');
/** A package with wasm-bindgen's command-line tools as its dependency, for the lock file. */
const WASM_BINDGEN_CLI = join('local', 'wasm-bindgen-cli');
/** The folder in which that package is built; deleted after the installation. */
const BUILD = join(TOOLS, 'build');

/** The project's own tools. */
export const BIN = {
  workerBuild: join(TOOLS, 'bin', 'worker-build'),
  wasmBindgen: join(TOOLS, 'bin', 'wasm-bindgen'),
  wasmTestRunner: join(TOOLS, 'bin', 'wasm-bindgen-test-runner'),
  wasmOpt: join(ROOT, 'node_modules', '.bin', 'wasm-opt'),
  esbuild: join(ROOT, 'node_modules', '.bin', 'esbuild'),
  wrangler: join(ROOT, 'node_modules', 'wrangler', 'bin', 'wrangler.js'),
};

/** Installs what is missing. Concurrent calls wait for each other. */
export async function setUp() {
  if (process.platform === 'win32') {
    throw new Stop('These scripts run on Linux and macOS: on Windows, clone and run the project inside WSL.');
  }
  if (Number(process.versions.node.split('.')[0]) < NODE_MAJOR) {
    throw new Stop(
      `Node ${process.versions.node} is too old: install Node ${NODE_MAJOR} or later (https://nodejs.org) and run the command again.`,
    );
  }
  if (IS_BUILD_SERVICE) await installRustup();
  if (await nothingToDo()) return;
  await withLock('setup', async () => {
    await installPackages();
    await installRust();
    await installTools();
  });
}

async function nothingToDo() {
  if (!packagesInstalled()) return false;
  const [rust, tools] = await Promise.all([missingRust(), missingTools()]);
  return rust.toolchain && rust.missing.length === 0 && tools.length === 0;
}

// --- npm packages -------------------------------------------------------------------------------

/** Whether node_modules matches the lock file, by the record that npm keeps in node_modules. */
function packagesInstalled() {
  const wanted = readJson('package-lock.json');
  const present = readJson(join('node_modules', '.package-lock.json'));
  if (!wanted)
    throw new Stop(
      'package-lock.json is missing or damaged: restore it from the repository (git checkout package-lock.json).',
    );
  if (!present) return false;
  return Object.entries(wanted.packages).every(([path, { version, optional, link }]) => {
    if (path === '' || link) return true;
    const installed = present.packages[path];
    // An optional package may be for another platform.
    return installed ? installed.version === version : Boolean(optional);
  });
}

async function installPackages() {
  if (packagesInstalled()) return;
  if ((await capture('npm', ['--version'])).code !== 0) {
    throw new Stop(
      'npm was not found: it comes with Node, so install Node again (https://nodejs.org) and run the command again.',
    );
  }
  // No package needs its install script; NODE_ENV=production must not omit any package.
  await step(
    'Installing the npm packages of package-lock.json (once)',
    'npm',
    ['ci', '--include=dev', '--ignore-scripts', '--no-audit', '--no-fund'],
    {
      failure:
        "The npm packages could not be installed: see npm's own words above, check the network, and run the command again.",
    },
  );
}

// --- Rust ---------------------------------------------------------------------------------------

/** The toolchain that cargo uses in this folder. */
function toolchain() {
  const pinned = /^channel\s*=\s*"([^"]+)"/m.exec(read('rust-toolchain.toml') ?? '')?.[1];
  if (!pinned) throw new Stop('rust-toolchain.toml is missing or names no channel: restore it from the repository.');
  return process.env.RUSTUP_TOOLCHAIN || pinned;
}

async function missingRust() {
  const listed = await capture('rustup', ['component', 'list', '--installed', '--toolchain', toolchain()]);
  if (listed.missing) throw new Stop(`rustup was not found. ${RUSTUP_HINT}`);
  const installed = listed.output.split('\n');
  return {
    toolchain: listed.code === 0 && installed.some((name) => name.startsWith('cargo')),
    missing: [
      ...RUST_COMPONENTS.filter((name) => !installed.some((line) => line.startsWith(`${name}-`) || line === name)),
      ...(installed.includes(`rust-std-${WASM_TARGET}`) ? [] : [WASM_TARGET]),
    ],
  };
}

/** Installs rustup where only Cloudflare's build service can: on other machines the user decides. */
async function installRustup() {
  process.env.PATH = `${CARGO_BIN}${delimiter}${process.env.PATH}`;
  if (!(await capture('rustup', ['--version'])).missing) return;
  await step("Installing rustup in Cloudflare's build service", 'sh', ['-c', INSTALL_RUSTUP], {
    failure: 'rustup could not be installed: see its own words above.',
  });
}

async function installRust() {
  const version = toolchain();
  if (!(await missingRust()).toolchain) {
    await step(
      `Installing Rust ${version} with rustup (once)`,
      'rustup',
      ['toolchain', 'install', version, '--profile', 'minimal', '--no-self-update'],
      {
        failure: `Rust ${version} could not be installed: see rustup's own words above, check the network, and run the command again.`,
      },
    );
  }
  for (const name of (await missingRust()).missing) {
    const kind = name === WASM_TARGET ? 'target' : 'component';
    await step(`Adding the Rust ${kind} ${name} (once)`, 'rustup', [kind, 'add', name, '--toolchain', version], {
      failure: `The Rust ${kind} ${name} could not be added: see rustup's own words above, check the network, and run the command again.`,
    });
  }
  if ((await capture('cargo', ['--version'])).code !== 0) throw new Stop(`cargo was not found. ${RUSTUP_HINT}`);
}

// --- worker-build and wasm-bindgen ---------------------------------------------------------------

/** The versions of wasm-bindgen's tool and crate must be equal. */
function wasmBindgenVersion() {
  const version = lockedVersion('Cargo.lock', 'wasm-bindgen');
  const toolLock = join(WASM_BINDGEN_CLI, 'Cargo.lock');
  const toolVersion = lockedVersion(toolLock, 'wasm-bindgen-cli');
  if (toolVersion !== version) {
    throw new Stop(
      `Cargo.lock has wasm-bindgen ${version} and ${toolLock} has wasm-bindgen-cli ${toolVersion}: they must be equal. ` +
        `Set the version in ${join(WASM_BINDGEN_CLI, 'Cargo.toml')} and run cargo update --manifest-path ${join(WASM_BINDGEN_CLI, 'Cargo.toml')}.`,
    );
  }
  return version;
}

/** @param {string} path of a lock file @param {string} name */
function lockedVersion(path, name) {
  const lock = (read(path) ?? '').replaceAll('\r\n', '\n');
  const version = new RegExp(`name = "${name}"\nversion = "([^"]+)"`).exec(lock)?.[1];
  if (!version) {
    throw new Stop(`${path} is missing or names no ${name}: restore it from the repository (git checkout ${path}).`);
  }
  return version;
}

/** The tools that are missing or have another version than the pinned one. */
async function missingTools() {
  const wasmBindgen = wasmBindgenVersion();
  const wanted = [
    {
      name: 'worker-build',
      version: WORKER_BUILD,
      about: 'which turns the crate into a Worker',
      bins: [BIN.workerBuild],
      source: ['worker-build', '--version', WORKER_BUILD],
    },
    {
      name: 'wasm-bindgen-cli',
      version: wasmBindgen,
      about: 'which joins wasm and JavaScript',
      bins: [BIN.wasmBindgen, BIN.wasmTestRunner],
      source: ['--path', join(ROOT, WASM_BINDGEN_CLI), '--target-dir', BUILD],
    },
  ];
  const present = await Promise.all(
    wanted.map(({ bins, version }) => Promise.all(bins.map((bin) => isVersion(bin, version)))),
  );
  return wanted.filter((_, index) => present[index].includes(false));
}

/** @param {string} bin @param {string} version */
async function isVersion(bin, version) {
  if (!existsSync(bin)) return false;
  const { code, output } = await capture(bin, ['--version']);
  return code === 0 && output.trim().split(/\s+/).includes(version);
}

async function installTools() {
  for (const { name, version, about, bins, source } of await missingTools()) {
    mkdirSync(TOOLS, { recursive: true });
    const only = bins.flatMap((bin) => ['--bin', basename(bin)]);
    await step(
      `Installing ${name} ${version}, ${about}, into .tools (about a minute, only once)`,
      'cargo',
      ['install', ...source, '--locked', '--root', TOOLS, '--force', '--debug', ...only],
      {
        // Not optimised: the tools run for a second or two, and optimising them takes minutes.
        env: {
          CARGO_PROFILE_DEV_DEBUG: '0',
          CARGO_PROFILE_DEV_DEBUG_ASSERTIONS: 'false',
          CARGO_PROFILE_DEV_OVERFLOW_CHECKS: 'false',
        },
        failure: `${name} ${version} could not be installed: see cargo's own words above (a C compiler is needed; so is the network), and run the command again.`,
      },
    );
    rmSync(BUILD, { recursive: true, force: true });
  }
}

/** @param {string} path */
function read(path) {
  try {
    return readFileSync(join(ROOT, path), 'utf8');
  } catch {
    return undefined;
  }
}

/** @param {string} path */
function readJson(path) {
  try {
    return JSON.parse(read(path) ?? '');
  } catch {
    return undefined;
  }
}

if (import.meta.url === pathToFileURL(process.argv[1]).href) await main(setUp);
