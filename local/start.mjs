/**
 * `npm start`: set-up, bundle, and the Worker under `wrangler dev` with its KV on disk. Without
 * credentials in .dev.vars the local AuthKit stands in for WorkOS. Ends everything it started.
 *
 *     npm start -- [--port 8787] [--authkit-port 4100]
 */

import { randomBytes } from 'node:crypto';
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { connect, createServer } from 'node:net';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { parseArgs } from 'node:util';

import { build } from './build.mjs';
import { ROOT, Stop, bold, main, pause, setInterruptedCode, start, stopNow } from './commands.mjs';
import { BIN, setUp } from './setup.mjs';
import { WRANGLER_ENV, wranglerOutput } from './wrangler.mjs';

const DEV_VARS = '.dev.vars';
/** Everything local that is kept from one start to the next, but for KV (.wrangler/state). */
const LOCAL = join(ROOT, '.local');
const LOCAL_DEV_VARS = join(LOCAL, 'dev.vars');
const LOCAL_CF = join(LOCAL, 'cf.json');
const LOCAL_CREDENTIALS = { WORKOS_API_KEY: 'sk_test_local', WORKOS_CLIENT_ID: 'client_local' };

/** What makes .dev.vars one with real credentials, and what it must have then. */
const CREDENTIALS = ['WORKOS_API_KEY', 'WORKOS_CLIENT_ID'];
const REQUIRED = [...CREDENTIALS, 'WORKOS_COOKIE_PASSWORD'];
/** As the Worker has it: crates/authkit/src/config.rs. */
const COOKIE_PASSWORD_MIN_CHARS = 32;
const COOKIE_PASSWORD_MIN_DISTINCT_CHARS = 8;

const READY_TIMEOUT_MS = 120_000;

await main(async () => {
  setInterruptedCode(0);
  const { port, authkitPort } = readArguments();
  const credentials = realCredentials();
  const real = credentials !== undefined;

  await checkPort(port, '--port');
  if (!real) await checkPort(authkitPort, '--authkit-port');
  await setUp();
  await build('steps');

  if (!real) await startAuthKit(authkitPort);
  await startWorker(port, real ? [] : ['--env-file', writeLocalDevVars(authkitPort)]);

  console.log(`\n  Open ${bold(`http://localhost:${port}`)}\n`);
  console.log(
    real
      ? `  Sign-in goes through WorkOS, with the credentials in ${DEV_VARS}. Its dashboard must list\n  ${redirectUri(credentials, port)} as a redirect URI.`
      : `  Sign in as Ada or Grace, or type another address: a local AuthKit (http://localhost:${authkitPort})\n  stands in for WorkOS. For WorkOS itself, copy .dev.vars.example to ${DEV_VARS}.`,
  );
  console.log(`  Expenses are kept in .wrangler/state. Stop with Ctrl-C.\n`);
  await staysUp(port);
});

function readArguments() {
  let values;
  try {
    ({ values } = parseArgs({
      options: { port: { type: 'string', default: '8787' }, 'authkit-port': { type: 'string', default: '4100' } },
    }));
  } catch (error) {
    throw new Stop(`${error.message.split('. ')[0]}. There is: npm start -- --port 8787 --authkit-port 4100`, 2);
  }
  const ports = [values.port, values['authkit-port']].map((text) => (/^\d{1,5}$/.test(text) ? Number(text) : NaN));
  if (!ports.every((port) => port >= 1 && port <= 65_535)) throw new Stop('A port is a number from 1 to 65535.', 2);
  if (ports[0] === ports[1]) throw new Stop('The Worker and the local AuthKit need a port each.', 2);
  return { port: ports[0], authkitPort: ports[1] };
}

// --- Configuration ------------------------------------------------------------------------------

/**
 * The variables of a .dev.vars that leads to WorkOS itself. One that is half filled in is a mistake to be
 * told about.
 */
function realCredentials() {
  const path = join(ROOT, DEV_VARS);
  if (!existsSync(path)) return undefined;
  const vars = parseVars(readFileSync(path, 'utf8'));
  if (!CREDENTIALS.some((name) => vars[name])) return undefined;
  const missing = REQUIRED.filter((name) => !vars[name]);
  if (missing.length > 0) {
    throw new Stop(
      `${DEV_VARS} is half filled in: ${missing.join(' and ')} ${missing.length > 1 ? 'are' : 'is'} missing. ` +
        `.dev.vars.example says where to find them; without ${DEV_VARS} the local AuthKit is used.`,
    );
  }
  for (const name of ['WORKOS_COOKIE_PASSWORD', 'WORKOS_COOKIE_PASSWORD_PREVIOUS']) {
    const chars = [...(vars[name] ?? '')];
    if (chars.length === 0) continue;
    if (chars.length < COOKIE_PASSWORD_MIN_CHARS) {
      throw new Stop(
        `${name} in ${DEV_VARS} is too short: ${COOKIE_PASSWORD_MIN_CHARS} characters at least (openssl rand -hex 32 makes a good one).`,
      );
    }
    if (new Set(chars).size < COOKIE_PASSWORD_MIN_DISTINCT_CHARS) {
      throw new Stop(
        `${name} in ${DEV_VARS} can be guessed: ${COOKIE_PASSWORD_MIN_DISTINCT_CHARS} different characters at least (openssl rand -hex 32 makes a good one).`,
      );
    }
  }
  if (vars.WORKOS_API_KEY.startsWith('client_') || vars.WORKOS_CLIENT_ID.startsWith('sk_')) {
    throw new Stop(
      `WORKOS_API_KEY and WORKOS_CLIENT_ID in ${DEV_VARS} stand in each other's place: the key begins with sk_, the id with client_.`,
    );
  }
  return vars;
}

/** @param {Record<string, string>} vars @param {number} port */
function redirectUri({ WORKOS_REDIRECT_URI: uri, PUBLIC_ORIGIN: origin }, port) {
  return uri || `${(origin || `http://localhost:${port}`).replace(/\/$/, '')}/callback`;
}

/** Names and values of a dotenv file, as far as needed here: wrangler reads it for the Worker. @param {string} text */
function parseVars(text) {
  const line = /^\s*(?:export\s+)?([A-Za-z_]\w*)\s*=\s*(?:"([^"]*)"|'([^']*)'|([^#\n]*))/gm;
  return Object.fromEntries(
    [...text.matchAll(line)].map(([, name, ...values]) => [name, values.find((value) => value !== undefined).trim()]),
  );
}

/** The Worker's variables beside the local AuthKit. The password is kept, so that a session outlives a restart. */
function writeLocalDevVars(authkitPort) {
  mkdirSync(LOCAL, { recursive: true });
  const before = existsSync(LOCAL_DEV_VARS) ? parseVars(readFileSync(LOCAL_DEV_VARS, 'utf8')) : {};
  const vars = {
    ...LOCAL_CREDENTIALS,
    WORKOS_COOKIE_PASSWORD: before.WORKOS_COOKIE_PASSWORD || randomBytes(32).toString('hex'),
    WORKOS_BASE_URL: `http://localhost:${authkitPort}`,
    WORKOS_AUTHKIT_DOMAIN: `http://localhost:${authkitPort}`,
  };
  const lines = Object.entries(vars).map(([name, value]) => `${name}="${value}"\n`);
  writeFileSync(LOCAL_DEV_VARS, `# Written by npm start, for the local AuthKit only.\n${lines.join('')}`, {
    mode: 0o600,
  });
  return LOCAL_DEV_VARS;
}

/**
 * `Request.cf` of every local request: the visitor's time zone is this computer's. Wrangler takes what
 * the file says while it is younger than 30 days, and asks nobody else.
 */
function writeLocalCf() {
  mkdirSync(LOCAL, { recursive: true });
  const { timeZone } = Intl.DateTimeFormat().resolvedOptions();
  writeFileSync(LOCAL_CF, JSON.stringify({ timezone: timeZone }));
  return LOCAL_CF;
}

// --- Ports --------------------------------------------------------------------------------------

/** @param {number} port @param {string} option */
async function checkPort(port, option) {
  // Both loopback addresses: a browser that is told `localhost` may try either first.
  const answers = await Promise.all(['127.0.0.1', '::1'].map((host) => isAnswering(host, port)));
  const fault = answers.includes(true) ? 'EADDRINUSE' : await bindFault(port);
  if (fault === undefined) return;
  const another = `npm start -- ${option} ${port < 65_535 ? port + 1 : port - 1}`;
  throw new Stop(
    fault === 'EADDRINUSE'
      ? `Port ${port} is already in use: end the program that has it, or take another port: ${another}`
      : `Port ${port} cannot be used (${fault}): take another one: ${another}`,
  );
}

/** @returns {Promise<boolean>} */
function isAnswering(host, port) {
  return new Promise((resolve) => {
    const socket = connect({ host, port, timeout: 500 });
    const answer = (value) => () => {
      socket.destroy();
      resolve(value);
    };
    socket.once('connect', answer(true)).once('timeout', answer(false)).once('error', answer(false));
  });
}

/** @returns {Promise<string | undefined>} why the port cannot be listened on */
function bindFault(port) {
  return new Promise((resolve) => {
    const server = createServer();
    server.once('error', (error) => resolve(error.code));
    server.listen({ host: '127.0.0.1', port, exclusive: true }, () => server.close(() => resolve(undefined)));
  });
}

// --- The two servers ----------------------------------------------------------------------------

/** @param {number} port */
async function startAuthKit(port) {
  mkdirSync(LOCAL, { recursive: true });
  const child = start(
    process.execPath,
    [join(ROOT, 'local', 'authkit', 'main.mjs'), '--port', String(port), '--state-file', join(LOCAL, 'authkit.json')],
    { env: LOCAL_CREDENTIALS },
  );
  endWith(child, 'The local AuthKit');
  const ready = new Promise((resolve) => {
    // Its first line says that it is ready.
    eachLine(child.stdout, (line, first) => (first ? resolve() : console.log(line)));
  });
  eachLine(child.stderr, (line) => console.error(line));
  await ready;
}

/** @param {number} port @param {string[]} args */
async function startWorker(port, args) {
  const child = start(
    process.execPath,
    [
      BIN.wrangler,
      'dev',
      ...['--ip', '127.0.0.1', '--port', String(port), '--inspector-port', '0'],
      '--show-interactive-dev-session=false',
      ...args,
    ],
    { env: { ...WRANGLER_ENV, CLOUDFLARE_CF_FETCH_ENABLED: 'true', CLOUDFLARE_CF_FETCH_PATH: writeLocalCf() } },
  );
  endWith(child, 'The Worker (wrangler dev)');
  for (const [from, print] of [
    [child.stdout, console.log],
    [child.stderr, console.error],
  ]) {
    const filter = wranglerOutput();
    eachLine(from, (line) => {
      const kept = filter(line);
      if (kept !== undefined) print(kept);
    });
  }
  await answersHealth(port);
}

/** @param {number} port */
async function answersHealth(port) {
  let last = 'no answer';
  for (const until = Date.now() + READY_TIMEOUT_MS; Date.now() < until; await pause(100)) {
    try {
      const response = await fetch(`http://127.0.0.1:${port}/health`, { signal: AbortSignal.timeout(5_000) });
      if (response.status === 200) return;
      last = `${response.status}: ${(await response.text()).slice(0, 300)}`;
      // It is up and will not change its mind.
      if (response.status === 500) break;
    } catch {
      // Not listening yet.
    }
  }
  throw new Stop(`The Worker started but GET /health was not answered with 200 (${last}).`);
}

/** Wrangler does not notice when its runtime is killed: never returns while the port is open. @param {number} port */
async function staysUp(port) {
  for (let refusals = 0; refusals < 3; await pause(1_000)) {
    refusals = (await isAnswering('127.0.0.1', port)) ? 0 : refusals + 1;
  }
  throw new Stop(`Nothing listens on port ${port} any more: the Worker's runtime (workerd) has ended by itself.`);
}

/** One server's end is the end of all. */
function endWith(child, name) {
  child.once('close', (code) => {
    stopNow(
      new Stop(`${name} ended by itself${code === null ? '' : ` (exit code ${code})`}: see its own words above.`),
    );
  });
}

/** @param {import("node:stream").Readable} stream @param {(line: string, first: boolean) => void} use */
function eachLine(stream, use) {
  let first = true;
  createInterface({ input: stream }).on('line', (line) => {
    use(line, first);
    first = false;
  });
}
