/** The checks of a deployment, on the built bundle, with a program in Wrangler's place. */

import assert from 'node:assert/strict';
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { PassThrough } from 'node:stream';
import { after, test } from 'node:test';
import { fileURLToPath } from 'node:url';

import { ROOT, Stop } from '../commands.mjs';
import { configurationProblems, readConfiguration } from './configuration.mjs';
import { deploy, readArguments } from './deploy.mjs';
import { deploymentProblems, knownNames } from './variables.mjs';
import { workerProblems } from './worker.mjs';

const STUB = fileURLToPath(new URL('stub-wrangler.mjs', import.meta.url));
const FOLDER = mkdtempSync(join(tmpdir(), 'authkit-edge-deployment-test-'));
after(() => rmSync(FOLDER, { recursive: true, force: true }));
delete process.env.CLOUDFLARE_API_TOKEN;

const PASSWORD = 'hunter2 hunter2 hunter2 hunter2 hunter2';
const SECRETS = { WORKOS_API_KEY: 'sk_live_hunter2', WORKOS_CLIENT_ID: 'client_1', WORKOS_COOKIE_PASSWORD: PASSWORD };
/** wrangler.toml as the repository has it. */
const TOML = readFileSync(join(ROOT, 'wrangler.toml'), 'utf8');
const PRODUCTION = TOML.slice(0, TOML.indexOf('# --- Staging'));

/** The Worker's responses, by its bindings and variables: each start of the runtime takes a second. @type {Map<string, ReturnType<typeof workerProblems>>} */
const asked = new Map();

/** @type {typeof workerProblems} */
function askWorker(configuration, variables) {
  const { kv_namespaces: kv, durable_objects: objects } = configuration.settings;
  const key = JSON.stringify([kv.map(({ binding }) => binding), objects, variables]);
  const problems = asked.get(key) ?? workerProblems(configuration, variables);
  asked.set(key, problems);
  return problems;
}

let files = 0;

/** A file of the test's own. @param {string} text @param {string} [ending] */
function file(text, ending = '.toml') {
  files += 1;
  const path = join(FOLDER, `${files}${ending}`);
  writeFileSync(path, text);
  return path;
}

/** @param {Record<string, string>} secrets */
function secretsFile(secrets) {
  const lines = Object.entries(secrets).map(([name, value]) => `${name}="${value}"\n`);
  return file(lines.join(''), '.vars');
}

/**
 * One run of `npm run deploy`: what it printed, how it ended, and Wrangler's calls.
 *
 * @param {string[]} args
 * @param {{ account?: object, toml?: string, typed?: string[], isBuildService?: boolean }} [options]
 *   `typed` are answers on a terminal; without them there is none
 */
async function run(args, { account = { isSignedIn: true }, toml = TOML, typed, isBuildService = false } = {}) {
  const calls = file('', '.calls');
  process.env.STUB_WRANGLER_ACCOUNT = JSON.stringify(account);
  process.env.STUB_WRANGLER_CALLS = calls;
  const input = new PassThrough();
  const output = new PassThrough();
  let shown = '';
  const answers = [...(typed ?? [])];
  output.setEncoding('utf8').on('data', (text) => {
    shown += text;
    if (text.includes('(not shown)')) setImmediate(() => input.write(`${answers.shift() ?? ''}\r`));
  });
  if (typed) for (const stream of [input, output]) Object.assign(stream, { isTTY: true, setRawMode: () => stream });
  let printed = '';
  const kept = { log: console.log, error: console.error };
  console.log = console.error = (...parts) => {
    printed += `${parts.join(' ')}\n`;
  };
  let stop;
  try {
    await deploy(readArguments(args), {
      wrangler: STUB,
      terminal: { input, output },
      isBuildService,
      askWorker,
      file: file(toml),
    });
  } catch (error) {
    if (!(error instanceof Stop)) throw error;
    stop = error;
    printed += error.message;
  } finally {
    Object.assign(console, kept);
  }
  /** @type {{ args: string[], file?: string, secrets?: object, mode?: number }[]} */
  const all = readFileSync(calls, 'utf8')
    .split('\n')
    .filter(Boolean)
    .map((line) => JSON.parse(line));
  const uploads = all.filter(({ args }) => args[0] === 'deploy' || args[1] === 'upload');
  return { printed, shown, stop, uploads, calls: all };
}

/** The problems of an environment in a wrangler.toml. @param {string} toml @param {string} [environment] */
async function problemsOf(toml, environment) {
  return configurationProblems(await readConfiguration(environment, file(toml)));
}

test('worker reports the problems of the table', async () => {
  const configuration = await readConfiguration(undefined);
  const cases = JSON.parse(readFileSync(join(ROOT, 'tests/vectors/configurations.json'), 'utf8'));
  for (const { variables, problems } of cases) {
    const reported = await workerProblems(configuration, { ...SECRETS, ...variables });
    const texts = reported.map(({ text }) => text);
    assert.deepEqual(texts, problems, JSON.stringify(variables));
    assert.ok(reported.every(({ name, text }) => text.startsWith(`${name} `)));
  }
});

test('committed configuration has no problem in any environment', async () => {
  assert.deepEqual(await problemsOf(TOML), []);
  assert.deepEqual(await problemsOf(TOML, 'staging'), []);
});

test('environments of the committed configuration share nothing', async () => {
  const [production, staging] = [await readConfiguration(undefined), await readConfiguration('staging')];
  assert.equal(production.name, 'authkit-edge');
  assert.equal(staging.name, 'authkit-edge-staging');
  const classes = (/** @type {typeof staging} */ { settings }) =>
    settings.durable_objects.bindings.map(({ name }) => name);
  assert.deepEqual(classes(staging), classes(production));
  assert.ok(staging.settings.durable_objects.bindings.every(({ script_name: script }) => script === undefined));
  assert.equal(staging.settings.preview_urls, false);
});

for (const [what, toml, expected] of /** @type {[string, string, RegExp][]} */ ([
  [
    'KV namespace',
    PRODUCTION.replace('binding = "EXPENSES"', 'binding = "OTHER"'),
    /EXPENSES is not bound: add \[\[kv_namespaces\]\]/,
  ],
  [
    'ledger',
    PRODUCTION.replace('name = "LEDGER"', 'name = "OTHER"'),
    /LEDGER are not bound: add \[\[durable_objects\.bindings\]\]/,
  ],
  [
    'class of the keeper',
    PRODUCTION.replace('class_name = "SessionKeeper"', 'class_name = "Ledger"'),
    /SESSIONS has the class "Ledger"/,
  ],
  [
    'migration',
    PRODUCTION.replace('["Ledger", "SessionKeeper"]', '["Ledger"]'),
    /No migration creates the class SessionKeeper/,
  ],
  ['assets', PRODUCTION.replace(/\[assets\][\s\S]*?\n\n/, ''), /static assets are missing/],
  ['preview addresses', PRODUCTION.replace('preview_urls = false', 'preview_urls = true'), /preview_urls is on/],
  [
    'second address',
    PRODUCTION.replace('# routes = ', 'routes = '),
    /workers_dev is on, so that authkit-edge\.<your subdomain>\.workers\.dev is a second address beside expenses\.example\.com/,
  ],
  [
    'route',
    PRODUCTION.replace(
      'workers_dev = true\n# routes = [{ pattern = "expenses.example.com", custom_domain = true }]',
      'workers_dev = false\nroutes = ["example.com/*"]',
    ),
    /"example\.com\/\*" is no custom domain/,
  ],
  [
    'secret in the file',
    PRODUCTION.replace('# [vars]', '[vars]\nWORKOS_API_KEY = "sk_live_hunter2"'),
    /WORKOS_API_KEY stands in wrangler\.toml/,
  ],
  [
    'jurisdiction without a namespace of it',
    PRODUCTION.replace('# [vars]', '[vars]\nDATA_JURISDICTION = "eu"'),
    /EXPENSES has no id, so that Cloudflare would create one without a jurisdiction/,
  ],
])) {
  test(`configuration with a wrong ${what} is refused`, async () => {
    assert.notEqual(toml, PRODUCTION);
    const problems = await problemsOf(toml);
    assert.equal(problems.length, 1, problems.join('\n'));
    assert.match(problems[0], expected);
    assert.doesNotMatch(problems[0], /hunter2/);
  });
}

test('custom domain without other addresses is accepted', async () => {
  const toml = PRODUCTION.replace('# routes = ', 'routes = ').replace('workers_dev = true', 'workers_dev = false');
  assert.deepEqual(await problemsOf(toml), []);
});

test('environment that shares or lacks a binding is refused', async () => {
  const id = 'id = "0123456789abcdef0123456789abcdef"';
  const shared = TOML.replaceAll('binding = "EXPENSES"', `binding = "EXPENSES"\n${id}`);
  assert.match((await problemsOf(shared, 'staging')).join('\n'), /has the KV namespace of "authkit-edge"/);
  assert.match((await problemsOf(shared)).join('\n'), /has the KV namespace of "authkit-edge-staging"/);
  const limit = TOML.replace('"4113"', '"4103"');
  assert.match(
    (await problemsOf(limit, 'staging')).join('\n'),
    /MCP_RATE_LIMIT .* counts together with one of "authkit-edge"/,
  );
  const lacking = TOML.replace(/\[\[env\.staging\.ratelimits\]\]\nname = "MCP_RATE_LIMIT"[\s\S]*?\n\n?$/, '');
  assert.notEqual(lacking, TOML);
  assert.match(
    (await problemsOf(lacking, 'staging')).join('\n'),
    /Production binds MCP_RATE_LIMIT, and staging does not/,
  );
  const script = TOML.replaceAll('class_name = "Ledger"', 'class_name = "Ledger"\nscript_name = "authkit-edge"');
  assert.deepEqual(await problemsOf(script), []);
  assert.match(
    (await problemsOf(script, 'staging')).join('\n'),
    /LEDGER leads to the objects of another Worker, "authkit-edge"/,
  );
});

test('unknown environment names the known ones', async () => {
  await assert.rejects(readConfiguration('stagign'), /no environment "stagign"\. It has: --env staging/);
});

for (const [what, secrets, expected] of /** @type {[string, Record<string, string>, RegExp][]} */ ([
  ['unknown name', { WORKOS_COOKIE_PASWORD: PASSWORD }, /WORKOS_COOKIE_PASWORD is no variable of this Worker/],
  ['public origin', { PUBLIC_ORIGIN: 'https://x.test' }, /PUBLIC_ORIGIN is set/],
  ['local API', { WORKOS_BASE_URL: 'http://localhost:4100' }, /WORKOS_BASE_URL leads to this machine/],
  [
    'local redirect URI',
    { WORKOS_REDIRECT_URI: 'http://localhost:8787/callback' },
    /WORKOS_REDIRECT_URI leads to this machine/,
  ],
  [
    'redirect URI of another path',
    { WORKOS_REDIRECT_URI: 'https://authkit-edge.me.workers.dev/auth' },
    /its path must be \/callback/,
  ],
  [
    'redirect URI of another host',
    { WORKOS_REDIRECT_URI: 'https://other.me.workers.dev/callback' },
    /leads to other\.me\.workers\.dev, and this Worker is at/,
  ],
  ['jurisdiction as a secret', { DATA_JURISDICTION: 'eu' }, /DATA_JURISDICTION is no secret/],
])) {
  test(`deployment with a wrong ${what} is refused`, async () => {
    const problems = deploymentProblems(await readConfiguration(undefined), secrets, undefined);
    assert.equal(problems.length, 1, problems.join('\n'));
    assert.match(problems[0], expected);
  });
}

test('own redirect URI and cookie domain are accepted', async () => {
  const own = { WORKOS_REDIRECT_URI: 'https://authkit-edge.me.workers.dev/callback' };
  assert.deepEqual(deploymentProblems(await readConfiguration(undefined), own, undefined), []);
  const toml = TOML.replace('# routes = ', 'routes = ').replace('workers_dev = true', 'workers_dev = false');
  const configuration = await readConfiguration(undefined, file(toml));
  const custom = { WORKOS_REDIRECT_URI: 'https://expenses.example.com/callback', WORKOS_COOKIE_DOMAIN: 'example.com' };
  assert.deepEqual(deploymentProblems(configuration, custom, undefined), []);
  const [problem] = deploymentProblems(configuration, { WORKOS_COOKIE_DOMAIN: 'ample.com' }, undefined);
  assert.match(problem, /WORKOS_COOKIE_DOMAIN is not expenses\.example\.com or a domain above it/);
});

test('secret of two environments is refused', async () => {
  const [problem, ...rest] = deploymentProblems(
    await readConfiguration('staging'),
    { WORKOS_COOKIE_PASSWORD: PASSWORD },
    { WORKOS_COOKIE_PASSWORD: PASSWORD },
  );
  assert.match(problem, /WORKOS_COOKIE_PASSWORD is the same as another environment's/);
  assert.deepEqual(rest, []);
});

test('known names are those of the example file', () => {
  const names = knownNames();
  assert.ok(names.includes('WORKOS_API_KEY') && names.includes('DATA_JURISDICTION'));
  assert.ok(names.length > 10, names.join(' '));
});

test('deploy hands secrets over in a private file alone', async () => {
  const { uploads, calls, stop, printed } = await run(['--secrets', secretsFile(SECRETS), '--tag', 'v1']);
  assert.equal(stop, undefined, printed);
  assert.equal(uploads.length, 1);
  const [{ args, file, secrets, mode }] = uploads;
  assert.deepEqual(secrets, SECRETS);
  assert.equal(mode, 0o600);
  assert.deepEqual(args, ['deploy', '--env=', '--secrets-file', file, '--tag', 'v1']);
  assert.ok(!existsSync(file ?? ''), 'the file is removed');
  assert.doesNotMatch(JSON.stringify(calls.map(({ args }) => args)) + printed, /hunter2/);
  assert.match(printed, /https:\/\/authkit-edge\.<your subdomain>\.workers\.dev\/callback/);
});

test('deploy of staging selects its environment', async () => {
  const { uploads, printed } = await run(['--env', 'staging', '--secrets', secretsFile(SECRETS)]);
  assert.deepEqual(uploads[0].args.slice(0, 2), ['deploy', '--env=staging']);
  assert.match(printed, /key of WorkOS's production \(sk_live_…\), and this is staging/);
});

test('version without requests is uploaded by its own command', async () => {
  const { uploads } = await run(['--upload-only', '--secrets', secretsFile(SECRETS)]);
  assert.deepEqual(uploads[0].args.slice(0, 3), ['versions', 'upload', '--env=']);
});

test('check uploads nothing and says what is wrong', async () => {
  const bad = { ...SECRETS, WORKOS_COOKIE_PASSWORD: 'hunter2', WORKOS_CLIENT_ID: '' };
  const { uploads, stop, printed } = await run(['--check', '--secrets', secretsFile(bad)], { typed: ['never asked'] });
  assert.equal(stop?.exitCode, 1);
  assert.deepEqual(uploads, []);
  assert.match(
    printed,
    /- WORKOS_CLIENT_ID is missing: put a line WORKOS_CLIENT_ID=… into .* Client id of the same environment/,
  );
  assert.match(printed, /- WORKOS_COOKIE_PASSWORD is shorter than 32 characters/);
  assert.match(printed, /Nothing was uploaded/);
  assert.doesNotMatch(printed, /hunter2/);
});

test('check without an account passes on sound files', async () => {
  const { uploads, stop, printed } = await run(['--check', '--secrets', secretsFile(SECRETS)], { account: {} });
  assert.equal(stop, undefined, printed);
  assert.deepEqual(uploads, []);
  assert.match(printed, /nothing is wrong/);
  assert.match(printed, /not signed in at Cloudflare/);
});

test('deploy without an account uploads nothing', async () => {
  const { uploads, stop, printed } = await run(['--secrets', secretsFile(SECRETS)], { account: {} });
  assert.equal(stop?.exitCode, 1);
  assert.deepEqual(uploads, []);
  assert.match(printed, /Sign in by npx wrangler login/);
});

test('API token counts as signed in', async (t) => {
  process.env.CLOUDFLARE_API_TOKEN = 'hunter2';
  t.after(() => delete process.env.CLOUDFLARE_API_TOKEN);
  const { uploads, calls, stop, printed } = await run(['--secrets', secretsFile(SECRETS)], { account: {} });
  assert.equal(stop, undefined, printed);
  assert.equal(uploads.length, 1);
  assert.ok(calls.every(({ args }) => args[0] !== 'whoami'));
});

test('deploy without a terminal says what is missing', async () => {
  const { uploads, stop, printed } = await run([]);
  assert.equal(stop?.exitCode, 1);
  assert.deepEqual(uploads, []);
  for (const name of Object.keys(SECRETS)) assert.match(printed, new RegExp(`- ${name} is missing: put a line`));
});

test('deploy asks for what is missing and hides answers', async () => {
  const typed = ['sk_live_hunter2', 'client_1', 'hunter2 is short', PASSWORD];
  const { uploads, stop, shown, printed } = await run([], { typed });
  assert.equal(stop, undefined, printed);
  assert.deepEqual(uploads[0].secrets, SECRETS);
  assert.match(shown, /WORKOS_COOKIE_PASSWORD is shorter than 32 characters/);
  assert.doesNotMatch(shown + printed, /hunter2/);
});

test('secrets that Cloudflare has are not asked for', async () => {
  const bindings = Object.keys(SECRETS).map((name) => ({ type: 'secret_text', name }));
  const { uploads, stop, printed } = await run([], { account: { isSignedIn: true, bindings } });
  assert.equal(stop, undefined, printed);
  assert.deepEqual(uploads[0].args, ['deploy', '--env=']);
});

test('change of jurisdiction is refused until it is allowed', async () => {
  const id = 'binding = "EXPENSES"\nid = "0123456789abcdef0123456789abcdef"';
  const toml = TOML.replace('binding = "EXPENSES"', id).replace('# [vars]', '[vars]\nDATA_JURISDICTION = "eu"');
  const secrets = Object.keys(SECRETS).map((name) => ({ type: 'secret_text', name }));
  const account = { isSignedIn: true, bindings: secrets };
  const { stop, printed, uploads } = await run([], { account, toml });
  assert.equal(stop?.exitCode, 1);
  assert.deepEqual(uploads, []);
  assert.match(printed, /DATA_JURISDICTION with no jurisdiction, and wrangler\.toml has "eu"/);
  const allowed = await run(['--change-jurisdiction'], { account, toml });
  assert.deepEqual(allowed.uploads[0]?.args, ['deploy', '--env='], allowed.printed);
  const eu = [...secrets, { type: 'plain_text', name: 'DATA_JURISDICTION', text: 'eu' }];
  const same = await run([], { account: { isSignedIn: true, bindings: eu }, toml });
  assert.equal(same.stop, undefined, same.printed);
  const back = await run([], { account: { isSignedIn: true, bindings: eu } });
  assert.match(back.printed, /with "eu", and wrangler\.toml has no jurisdiction/);
});

test('dry run needs no account and no secrets', async () => {
  const { uploads, calls, stop, printed } = await run(['--dry-run'], { account: {} });
  assert.equal(stop, undefined, printed);
  assert.deepEqual(uploads[0].args, ['deploy', '--env=', '--dry-run']);
  assert.equal(calls.length, 1);
});

test("build service may deploy before the Worker's secrets are set", async () => {
  const { uploads, stop, printed } = await run([], { isBuildService: true });
  assert.equal(stop, undefined, printed);
  assert.equal(uploads.length, 1);
  assert.match(printed, /Note: WORKOS_API_KEY is missing/);
});

test('failed upload sets the exit code', async () => {
  const { stop } = await run(['--secrets', secretsFile(SECRETS)], { account: { isSignedIn: true, deployCode: 7 } });
  assert.equal(stop?.exitCode, 7);
});

for (const argument of ['--var', '--secrets-file=x', '--config', '-c']) {
  test(`argument ${argument} is refused`, () => {
    assert.throws(() => readArguments([argument, 'A:b']), /passes this check by/);
  });
}

test('option without its value is refused', () => {
  assert.throws(() => readArguments(['--env']), /--env needs a value/);
  assert.throws(() => readArguments(['--secrets', '--check']), /--secrets needs a value/);
  assert.equal(readArguments(['--secrets', '-']).secrets, '-');
});
