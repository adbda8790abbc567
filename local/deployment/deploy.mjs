/**
 * A deployment: checks everything before anything goes out, asks for what is missing, and hands secrets to Wrangler in a
 * file, never as arguments.
 */

import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';

import { Stop, bold, dim, green, red, runInTerminal } from '../commands.mjs';
import { BIN } from '../setup.mjs';
import { JURISDICTION } from '../vars.mjs';
import { WRANGLER_ENV } from '../wrangler.mjs';
import { askSecretly, canAsk } from './ask.mjs';
import { deployed, environmentOption, isSignedIn } from './cloudflare.mjs';
import { configurationNotes, configurationProblems, origin, readConfiguration } from './configuration.mjs';
import {
  deploymentProblems,
  describeVariable,
  readSecrets,
  secretsFile,
  variableNotes,
  withPlaceholders,
} from './variables.mjs';
import { workerProblems } from './worker.mjs';

/** The Worker's words for a variable without a value. */
const MISSING = /^\S+ is missing$/;
/** How often one question is asked again after an answer that the Worker refuses. */
const MAX_ANSWERS = 3;

export const USAGE = `npm run deploy -- [options] [options of wrangler deploy]

  --check                only says what is wrong and what to do
  --env <name>           an environment of wrangler.toml, such as staging; without it production
  --secrets <file>       a file in the form of .dev.vars.example; - is standard input.
                         Default: .deploy.vars, or .deploy.<name>.vars
  --dry-run              builds and checks wrangler.toml, and uploads nothing
  --upload-only          uploads a version that gets no requests yet: see docs/deployment.md, Gradually
  --change-jurisdiction  allows another ${JURISDICTION} than the deployed one: see docs/deployment.md`;

/**
 * @typedef {object} Options
 * @property {boolean} check
 * @property {string | undefined} environment
 * @property {string | undefined} secrets
 * @property {boolean} isDryRun
 * @property {boolean} isUploadOnly
 * @property {boolean} mayMove
 * @property {string[]} rest for Wrangler
 */

/**
 * Where a deployment runs; tests replace its parts.
 *
 * @typedef {object} Surroundings
 * @property {string} wrangler Wrangler's script
 * @property {import('./ask.mjs').Terminal} terminal
 * @property {boolean} isBuildService whether Cloudflare's own build service runs this
 * @property {typeof workerProblems} askWorker
 * @property {string} [file] the Wrangler configuration
 */

/** @returns {Surroundings} */
function surroundings() {
  return {
    wrangler: BIN.wrangler,
    terminal: { input: process.stdin, output: process.stdout },
    isBuildService: process.env.WORKERS_CI === '1',
    askWorker: workerProblems,
  };
}

/** @param {string[]} args @returns {Options} */
export function readArguments(args) {
  // Options that are not this script's are Wrangler's.
  const { values, tokens } = parseArgs({
    args,
    strict: false,
    tokens: true,
    options: {
      check: { type: 'boolean' },
      env: { type: 'string', short: 'e' },
      secrets: { type: 'string' },
      'dry-run': { type: 'boolean' },
      'upload-only': { type: 'boolean' },
      'change-jurisdiction': { type: 'boolean' },
      help: { type: 'boolean', short: 'h' },
    },
  });
  if (values.help) throw new Stop(USAGE, 0);
  const own = new Set(['check', 'env', 'secrets', 'dry-run', 'upload-only', 'change-jurisdiction']);
  const rest = [...args];
  for (const token of [...tokens].reverse()) {
    if (token.kind !== 'option' || !own.has(token.name)) continue;
    if (typeof token.value === 'string' && token.value.startsWith('-') && token.value !== '-')
      throw new Stop(`${token.rawName} needs a value.\n\n${USAGE}`, 2);
    rest.splice(token.index, token.value !== undefined && !token.inlineValue ? 2 : 1);
  }
  for (const name of ['env', 'secrets']) {
    if (name in values && typeof values[name] !== 'string') throw new Stop(`--${name} needs a value.\n\n${USAGE}`, 2);
  }
  const forbidden = rest.find((argument) => /^(?:-c|--(?:var|secrets-file|name|config))(?:=|$)/.test(argument));
  if (forbidden)
    throw new Stop(
      `${forbidden} passes this check by: variables go into wrangler.toml, or into the file of secrets.`,
      2,
    );
  const text = (/** @type {unknown} */ value) => (typeof value === 'string' && value !== '' ? value : undefined);
  return {
    check: values.check === true,
    environment: text(values.env),
    secrets: text(values.secrets),
    isDryRun: values['dry-run'] === true,
    isUploadOnly: values['upload-only'] === true,
    mayMove: values['change-jurisdiction'] === true,
    rest,
  };
}

/**
 * Checks, and deploys where nothing is wrong. The bundle is built already.
 *
 * @param {Options} options
 * @param {Surroundings} [around]
 */
export async function deploy(options, around = surroundings()) {
  const { environment, isDryRun } = options;
  const configuration = await readConfiguration(environment, around.file);
  const problems = configurationProblems(configuration);
  const notes = configurationNotes(configuration);

  const file = options.secrets ?? secretsFile(environment);
  const secrets = readSecrets(file);
  if (secrets === undefined && options.secrets) throw new Stop(`There is no file ${file}.`, 2);
  const others = otherSecrets(configuration);
  problems.push(...deploymentProblems(configuration, secrets ?? {}, others));

  const isKnown = !isDryRun && (await isSignedIn(around.wrangler));
  const live = isKnown ? await deployed(around.wrangler, environment) : undefined;
  if (live) problems.push(...jurisdictionProblems(configuration, live, options));
  if (!isKnown && !isDryRun) {
    const advice = 'Sign in by npx wrangler login, or set CLOUDFLARE_API_TOKEN.';
    if (options.check)
      notes.push(`Wrangler is not signed in at Cloudflare, so that the secrets there are not known. ${advice}`);
    else problems.push(`Wrangler is not signed in at Cloudflare. ${advice}`);
  }

  const stored = live?.secrets ?? [];
  const given = secrets ?? {};
  const settled = isDryRun
    ? { answers: {}, problems: [] }
    : await settle(configuration, given, stored, file, options, around);
  const values = { ...given, ...settled.answers };
  problems.push(...settled.problems);
  if (isDryRun) {
    // A dry run needs no secrets. Secrets that it gets must be valid.
    const refused = await refusals(configuration, given, stored, around);
    problems.push(...refused.filter(({ text }) => !MISSING.test(text)).map(({ text }) => `${text}.`));
  } else if (around.isBuildService) {
    // The dashboard takes secrets before or after the first build; until then the Worker names them in each response.
    const isMissing = (/** @type {string} */ problem) => / is missing(\.|:)/.test(problem);
    notes.push(...problems.filter(isMissing));
    problems.splice(0, problems.length, ...problems.filter((problem) => !isMissing(problem)));
  }
  notes.push(...variableNotes(configuration, { ...configuration.vars, ...values }));

  const title = `${configuration.name} (${environment ?? 'production'})`;
  for (const note of notes) console.log(dim(`Note: ${note}`));
  if (problems.length > 0) {
    console.error(
      red(`\n${title}: ${problems.length === 1 ? 'one thing is' : `${problems.length} things are`} wrong.\n`),
    );
    for (const problem of problems) console.error(`- ${problem}`);
    throw new Stop('Nothing was uploaded.');
  }
  if (options.check) {
    console.log(green(`${title}: nothing is wrong with wrangler.toml, the variables and the bindings.`));
    explainDashboard(configuration, { ...configuration.vars, ...values });
    return;
  }
  await upload(configuration, values, options, around);
  if (!isDryRun) explainDashboard(configuration, { ...configuration.vars, ...values });
}

/**
 * What the Worker refuses, in its words.
 *
 * @param {import('./configuration.mjs').Configuration} configuration
 * @param {Record<string, string>} secrets
 * @param {string[]} stored
 * @param {Surroundings} around
 */
function refusals(configuration, secrets, stored, { askWorker }) {
  return askWorker(configuration, withPlaceholders({ ...configuration.vars, ...secrets }, stored));
}

/**
 * Asks for what is missing until the Worker accepts it, or says what is missing where no one can answer.
 *
 * @param {import('./configuration.mjs').Configuration} configuration
 * @param {Record<string, string>} secrets
 * @param {string[]} stored
 * @param {string} file
 * @param {Options} options
 * @param {Surroundings} around
 */
async function settle(configuration, secrets, stored, file, options, around) {
  const { terminal } = around;
  const mayAsk = !options.check && canAsk(terminal);
  /** @type {Record<string, string>} */
  const answers = {};
  /** @type {Record<string, number>} */
  const asked = {};
  for (;;) {
    const refused = await refusals(configuration, { ...secrets, ...answers }, stored, around);
    const isQuestion = (/** @type {import('./worker.mjs').WorkerProblem} */ { name, text }) =>
      (MISSING.test(text) || name in answers) && (asked[name] ?? 0) < MAX_ANSWERS;
    const questions = mayAsk ? refused.filter(isQuestion) : [];
    if (questions.length === 0) {
      return {
        answers,
        problems: refused.map(({ name, text }) => (MISSING.test(text) ? advice(name, file) : `${text}.`)),
      };
    }
    for (const { name, text } of questions) {
      asked[name] = (asked[name] ?? 0) + 1;
      terminal.output.write(MISSING.test(text) ? `\n${describeVariable(name)}\n` : `\n${text}.\n`);
      const answer = await askSecretly(terminal, `${bold(name)} (not shown): `);
      if (answer === undefined) throw new Stop('Nothing was uploaded.', 130);
      if (answer === '') delete answers[name];
      else answers[name] = answer;
    }
  }
}

/** @param {string} name @param {string} file */
function advice(name, file) {
  return `${name} is missing: put a line ${name}=… into ${file === '-' ? 'standard input' : file}. ${describeVariable(name)}`;
}

/** The secrets of the other environments' files, where this machine has them. @param {import('./configuration.mjs').Configuration} configuration */
function otherSecrets({ environment, others }) {
  const file = secretsFile(environment === undefined ? 'staging' : undefined);
  return others.length > 0 ? readSecrets(file) : undefined;
}

/** @param {import('./configuration.mjs').Configuration} configuration @param {import('./cloudflare.mjs').Deployed} live @param {Options} options */
function jurisdictionProblems({ vars }, live, { mayMove }) {
  const [before, after] = [live.vars[JURISDICTION] ?? '', vars[JURISDICTION] ?? ''];
  if (before === after || mayMove) return [];
  const name = (/** @type {string} */ value) => (value === '' ? 'no jurisdiction' : `"${value}"`);
  return [
    `The deployed Worker has ${JURISDICTION} with ${name(before)}, and wrangler.toml has ${name(after)}. The objects there keep their rows and the new ones begin empty, so that writes which KV does not have yet, idempotency keys, sign-outs and erasures are not seen. Restore the value, or read docs/deployment.md and add --change-jurisdiction.`,
  ];
}

/** @param {import('./configuration.mjs').Configuration} configuration @param {Record<string, string>} secrets @param {Options} options @param {Surroundings} around */
async function upload({ environment }, secrets, { isDryRun, isUploadOnly, rest }, { wrangler }) {
  const folder = mkdtempSync(join(tmpdir(), 'authkit-edge-deploy-'));
  const remove = () => rmSync(folder, { recursive: true, force: true });
  process.on('exit', remove);
  try {
    const args = [...(isUploadOnly ? ['versions', 'upload'] : ['deploy']), environmentOption(environment)];
    if (isDryRun) args.push('--dry-run');
    else if (Object.keys(secrets).length > 0) {
      // With the code in one step: no version runs without its secrets. Only this user may read the file.
      const file = join(folder, 'secrets.json');
      writeFileSync(file, JSON.stringify(secrets), { mode: 0o600 });
      args.push('--secrets-file', file);
    }
    const code = await runInTerminal(process.execPath, [wrangler, ...args, ...rest], WRANGLER_ENV);
    if (code !== 0) {
      // Wrangler deploys the version first and sets up addresses afterwards.
      const doubt = ` The new version may serve already: see npx wrangler deployments list ${environmentOption(environment)}`;
      throw new Stop(`Wrangler has failed: see its own words above.${isDryRun || isUploadOnly ? '' : doubt}`, code);
    }
  } finally {
    process.off('exit', remove);
    remove();
  }
}

/** What the WorkOS dashboard must have, because no check can see it. @param {import('./configuration.mjs').Configuration} configuration @param {Record<string, string>} values */
function explainDashboard(configuration, values) {
  const base = origin(configuration);
  console.log(`
In the WorkOS dashboard, under Redirects:
  Redirect URI       ${values.WORKOS_REDIRECT_URI ?? `${base}/callback`}
  Sign-in endpoint   ${base}/login
  Sign-out redirect  ${values.WORKOS_LOGOUT_REDIRECT ?? `${base}/`}`);
}
