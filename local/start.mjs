/**
 * `npm start`: runs the set-up and the build, then serves the Worker under `wrangler dev` with KV on disk, and
 * rebuilds and reloads it after every save. Without credentials in .dev.vars the local AuthKit stands in for
 * WorkOS. At the end it stops every process it has started.
 *
 *     npm start -- [--port 8787] [--authkit-port 4100]
 */

import { randomBytes } from 'node:crypto';
import { existsSync, mkdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { connect, createServer } from 'node:net';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';

import { DEVELOPMENT, EXPENSES, RELEASE, build, isFresh, sources } from './build.mjs';
import { ROOT, Stop, bold, main, pause, setInterruptedCode, start, readOptions } from './commands.mjs';
import { eachLine, endWith, startDevServer } from './dev-server.mjs';
import { setUp } from './setup.mjs';
import { parseVars } from './vars.mjs';
import { updateOnSave } from './watch.mjs';

const DEV_VARS = '.dev.vars';
/** The folder of local files that survive a restart, inside the Worker's folder; KV is in .wrangler/state. */
const LOCAL = '.local';
const LOCAL_CREDENTIALS = { WORKOS_API_KEY: 'sk_test_local', WORKOS_CLIENT_ID: 'client_local' };

/** .dev.vars counts as real credentials with any of these, and then needs all of the required ones. */
const CREDENTIALS = ['WORKOS_API_KEY', 'WORKOS_CLIENT_ID'];
const REQUIRED = [...CREDENTIALS, 'WORKOS_COOKIE_PASSWORD'];
/** The limits of the Worker: crates/authkit/src/config.rs. */
const COOKIE_PASSWORD_MIN_CHARS = 32;
const COOKIE_PASSWORD_MIN_DISTINCT_CHARS = 8;

/**
 * A Worker's start: the command, for messages, and the default ports.
 *
 * @typedef {{ command: string, port: number, authkitPort: number }} Start
 */

/** @type {Start} */
const NPM_START = { command: 'npm start', port: 8787, authkitPort: 4100 };

/**
 * Serves a Worker until Ctrl-C.
 *
 * @param {import('./build.mjs').Worker} worker
 * @param {Start} defaults
 */
export async function serve(worker, defaults) {
  setInterruptedCode(0);
  const { command } = defaults;
  const { port, authkitPort } = readArguments(defaults);
  const devVars = join(worker.folder, DEV_VARS);
  const local = join(ROOT, worker.folder, LOCAL);
  const credentials = realCredentials(devVars);
  const real = credentials !== undefined;

  await checkPort(port, `${command} -- --port`);
  if (!real) await checkPort(authkitPort, `${command} -- --authkit-port`);
  await setUp();
  const saves = updateOnSave({
    list: () => [...sources(worker, DEVELOPMENT), worker.config, devVars],
    update: async () => {
      if ((realCredentials(devVars) !== undefined) !== real) {
        throw new Stop(
          `${devVars} now leads to ${real ? 'the local AuthKit' : 'WorkOS'}: end ${command} with Ctrl-C and start it again.`,
        );
      }
      await build('quiet', { worker, mode: DEVELOPMENT });
      await server.reload(DEVELOPMENT);
    },
  });
  // After `npm test`, for one, the release bundle exists: it is served at once while the development bundle is built.
  const first = !isFresh(worker, DEVELOPMENT) && isFresh(worker, RELEASE) ? RELEASE : DEVELOPMENT;
  await build('steps', { worker, mode: first });

  if (!real) await startAuthKit(authkitPort, local);
  const server = await startDevServer({
    worker,
    mode: first,
    port,
    writeVars: (file) => (real ? linkVars(devVars, file) : writeLocalVars(authkitPort, local, file)),
    env: { CLOUDFLARE_CF_FETCH_ENABLED: 'true', CLOUDFLARE_CF_FETCH_PATH: writeLocalCf(local) },
  });

  console.log(`\n  Open ${bold(`http://localhost:${port}`)}\n`);
  console.log(
    real
      ? `  Sign-in goes through WorkOS, with the credentials in ${devVars}. Its dashboard must list\n  ${redirectUri(credentials, port)} as a redirect URI.`
      : `  Sign in as Ada or Grace, or type another address: a local AuthKit (http://localhost:${authkitPort})\n  stands in for WorkOS. For WorkOS itself, copy ${devVars}.example to ${devVars}.`,
  );
  const state = join(worker.folder, '.wrangler/state');
  console.log(`  KV is kept in ${state}. Saved files are built and served. Stop with Ctrl-C.\n`);

  void saves.begin(first === RELEASE ? () => build('quiet', { worker, mode: DEVELOPMENT }) : undefined);
  await staysUp(port);
}

/** @param {Start} defaults */
function readArguments({ command, port, authkitPort }) {
  const options = {
    port: { type: /** @type {const} */ ('string'), default: String(port) },
    'authkit-port': { type: /** @type {const} */ ('string'), default: String(authkitPort) },
  };
  const { values } = readOptions({ options }, `${command} -- --port ${port} --authkit-port ${authkitPort}`);
  const ports = [values.port, values['authkit-port']].map((text) => (/^\d{1,5}$/.test(text) ? Number(text) : NaN));
  if (!ports.every((port) => port >= 1 && port <= 65_535)) throw new Stop('A port is a number from 1 to 65535.', 2);
  if (ports[0] === ports[1]) throw new Stop('The Worker and the local AuthKit need a port each.', 2);
  return { port: ports[0], authkitPort: ports[1] };
}

// --- Configuration ------------------------------------------------------------------------------

/**
 * The variables of a .dev.vars with real WorkOS credentials; `undefined` without any. A file with only some
 * of the required variables is an error.
 *
 * @param {string} devVars
 */
function realCredentials(devVars) {
  const path = join(ROOT, devVars);
  if (!existsSync(path)) return undefined;
  const vars = parseVars(readFileSync(path, 'utf8'));
  if (!CREDENTIALS.some((name) => vars[name])) return undefined;
  const missing = REQUIRED.filter((name) => !vars[name]);
  if (missing.length > 0) {
    throw new Stop(
      `${devVars} is half filled in: ${missing.join(' and ')} ${missing.length > 1 ? 'are' : 'is'} missing. ` +
        `${devVars}.example says where to find them; without ${devVars} the local AuthKit is used.`,
    );
  }
  for (const name of ['WORKOS_COOKIE_PASSWORD', 'WORKOS_COOKIE_PASSWORD_PREVIOUS']) {
    const chars = [...(vars[name] ?? '')];
    if (chars.length === 0) continue;
    if (chars.length < COOKIE_PASSWORD_MIN_CHARS) {
      throw new Stop(
        `${name} in ${devVars} is too short: ${COOKIE_PASSWORD_MIN_CHARS} characters at least (openssl rand -hex 32 makes a good one).`,
      );
    }
    if (new Set(chars).size < COOKIE_PASSWORD_MIN_DISTINCT_CHARS) {
      throw new Stop(
        `${name} in ${devVars} can be guessed: ${COOKIE_PASSWORD_MIN_DISTINCT_CHARS} different characters at least (openssl rand -hex 32 makes a good one).`,
      );
    }
  }
  if (vars.WORKOS_API_KEY.startsWith('client_') || vars.WORKOS_CLIENT_ID.startsWith('sk_')) {
    throw new Stop(
      `WORKOS_API_KEY and WORKOS_CLIENT_ID in ${devVars} stand in each other's place: the key begins with sk_, the id with client_.`,
    );
  }
  return vars;
}

/** @param {Record<string, string>} vars @param {number} port */
function redirectUri({ WORKOS_REDIRECT_URI: uri, PUBLIC_ORIGIN: origin }, port) {
  return uri || `${(origin || `http://localhost:${port}`).replace(/\/$/, '')}/callback`;
}

/** Links the developer's variables to where Wrangler reads them. @param {string} devVars @param {string} file */
function linkVars(devVars, file) {
  rmSync(file, { force: true });
  symlinkSync(join(ROOT, devVars), file);
}

/**
 * Writes the Worker's variables for the local AuthKit. The password is kept, so that sessions survive a restart.
 *
 * @param {number} authkitPort
 * @param {string} local the folder of local files
 * @param {string} file
 */
function writeLocalVars(authkitPort, local, file) {
  mkdirSync(local, { recursive: true });
  const kept = join(local, 'dev.vars');
  const before = existsSync(kept) ? parseVars(readFileSync(kept, 'utf8')) : {};
  const vars = {
    ...LOCAL_CREDENTIALS,
    WORKOS_COOKIE_PASSWORD: before.WORKOS_COOKIE_PASSWORD || randomBytes(32).toString('hex'),
    WORKOS_BASE_URL: `http://localhost:${authkitPort}`,
    WORKOS_AUTHKIT_DOMAIN: `http://localhost:${authkitPort}`,
    WORKOS_API_KEYS: 'on',
  };
  const lines = Object.entries(vars).map(([name, value]) => `${name}="${value}"\n`);
  for (const path of [kept, file]) {
    writeFileSync(path, `# Written by local/start.mjs, for the local AuthKit only.\n${lines.join('')}`, {
      mode: 0o600,
    });
  }
}

/**
 * `Request.cf` of every local request: the visitor's time zone is this computer's. Wrangler takes what
 * the file says while it is younger than 30 days, and asks nobody else.
 *
 * @param {string} local the folder of local files
 */
function writeLocalCf(local) {
  mkdirSync(local, { recursive: true });
  const file = join(local, 'cf.json');
  const { timeZone } = Intl.DateTimeFormat().resolvedOptions();
  writeFileSync(file, JSON.stringify({ timezone: timeZone }));
  return file;
}

// --- Ports --------------------------------------------------------------------------------------

/** @param {number} port @param {string} option the command and the option that set another port */
async function checkPort(port, option) {
  // Both loopback addresses: for `localhost` a browser may try either first.
  const answers = await Promise.all(['127.0.0.1', '::1'].map((host) => isAnswering(host, port)));
  const fault = answers.includes(true) ? 'EADDRINUSE' : await bindFault(port);
  if (fault === undefined) return;
  const another = `${option} ${port < 65_535 ? port + 1 : port - 1}`;
  throw new Stop(
    fault === 'EADDRINUSE'
      ? `Port ${port} is already in use: end the program that has it, or take another port: ${another}`
      : `Port ${port} cannot be used (${fault}): take another one: ${another}`,
  );
}

/** @param {string} host @param {number} port @returns {Promise<boolean>} */
function isAnswering(host, port) {
  return new Promise((resolve) => {
    const socket = connect({ host, port, timeout: 500 });
    const answer = (/** @type {boolean} */ value) => () => {
      socket.destroy();
      resolve(value);
    };
    socket.once('connect', answer(true)).once('timeout', answer(false)).once('error', answer(false));
  });
}

/** @param {number} port @returns {Promise<string | undefined>} why the port cannot be listened on */
function bindFault(port) {
  return new Promise((resolve) => {
    const server = createServer();
    server.once('error', (/** @type {NodeJS.ErrnoException} */ error) => resolve(error.code));
    server.listen({ host: '127.0.0.1', port, exclusive: true }, () => server.close(() => resolve(undefined)));
  });
}

// --- The two servers ----------------------------------------------------------------------------

/** @param {number} port @param {string} local the folder of local files */
async function startAuthKit(port, local) {
  mkdirSync(local, { recursive: true });
  const child = start(
    process.execPath,
    [join(ROOT, 'local', 'authkit', 'main.mjs'), '--port', String(port), '--state-file', join(local, 'authkit.json')],
    { env: LOCAL_CREDENTIALS },
  );
  endWith(child, 'The local AuthKit');
  /** @type {Promise<void>} */
  const ready = new Promise((resolve) => {
    // The first line of its output means that it is ready.
    eachLine(child.stdout, (line, first) => (first ? resolve() : console.log(line)));
  });
  eachLine(child.stderr, (line) => console.error(line));
  await ready;
}

/** Fails when the port is closed, because Wrangler does not notice when its runtime is killed. @param {number} port */
async function staysUp(port) {
  for (let refusals = 0; refusals < 3; await pause(1_000)) {
    refusals = (await isAnswering('127.0.0.1', port)) ? 0 : refusals + 1;
  }
  throw new Stop(`Nothing listens on port ${port} any more: the Worker's runtime (workerd) has ended by itself.`);
}

if (import.meta.url === pathToFileURL(process.argv[1]).href) await main(() => serve(EXPENSES, NPM_START));
