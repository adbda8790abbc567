/**
 * The variables of a deployment: from wrangler.toml, from a file of secrets or standard input, and from questions. What a
 * deployed Worker must not have is found here; what the Worker refuses is found by `worker.mjs`.
 */

import { readFileSync } from 'node:fs';
import { join, resolve } from 'node:path';

import { ROOT, Stop } from '../commands.mjs';
import { JURISDICTION, parseVars } from '../vars.mjs';
import { SECRETS, customDomains, origin } from './configuration.mjs';

/** Values that the Worker accepts, for names whose values only Cloudflare knows. */
const PLACEHOLDERS = {
  WORKOS_API_KEY: 'sk_placeholder',
  WORKOS_CLIENT_ID: 'client_placeholder',
  WORKOS_COOKIE_PASSWORD: 'a placeholder of more than 32 characters',
};
/** Addresses that the deployed Worker, or a visitor's browser, opens. */
const ADDRESSES = ['WORKOS_REDIRECT_URI', 'WORKOS_BASE_URL', 'WORKOS_AUTHKIT_DOMAIN', 'WORKOS_LOGOUT_REDIRECT'];
/** The route that finishes a sign-in: crates/authkit/src/routes.rs. */
const CALLBACK_PATH = '/callback';
const STANDARD_INPUT = 0;

/** The default file of secrets of an environment, which Git ignores. @param {string | undefined} environment */
export function secretsFile(environment) {
  return environment === undefined ? '.deploy.vars' : `.deploy.${environment}.vars`;
}

/**
 * Reads a file of secrets, in the form of .dev.vars.example. An empty value counts as absent.
 *
 * @param {string} file relative to the project's folder; `-` is standard input
 * @returns {Record<string, string> | undefined} nothing where there is no such file
 */
export function readSecrets(file) {
  let text;
  try {
    text = readFileSync(file === '-' ? STANDARD_INPUT : resolve(ROOT, file), 'utf8');
  } catch (error) {
    const { code, message } = /** @type {NodeJS.ErrnoException} */ (error);
    if (code === 'ENOENT') return undefined;
    throw new Stop(`${file} cannot be read: ${message}`);
  }
  return Object.fromEntries(Object.entries(parseVars(text)).filter(([, value]) => value !== ''));
}

/** The names of every variable that the Worker reads. */
export function knownNames() {
  const example = readFileSync(join(ROOT, '.dev.vars.example'), 'utf8');
  return [...example.matchAll(/^(?:# )?([A-Z][A-Z_]+)=/gm)].map(([, name]) => name);
}

/** What the name of a variable means, in one line of .dev.vars.example. @param {string} name */
export function describeVariable(name) {
  const lines = readFileSync(join(ROOT, '.dev.vars.example'), 'utf8').split('\n');
  const at = lines.findIndex((line) => line === `${name}=` || line.startsWith(`# ${name}=`));
  const before = lines.slice(0, at).reverse();
  const end = before.findIndex((line) => !/^# \S/.test(line));
  return before
    .slice(0, end)
    .reverse()
    .map((line) => line.slice(2))
    .join(' ');
}

/**
 * Values for the Worker on the local runtime: placeholders stand for what only Cloudflare knows.
 *
 * @param {Record<string, string>} values
 * @param {string[]} stored the names of the secrets that Cloudflare has
 */
export function withPlaceholders(values, stored) {
  return { ...Object.fromEntries(Object.entries(PLACEHOLDERS).filter(([name]) => stored.includes(name))), ...values };
}

/**
 * What a deployed Worker must not have, although the Worker accepts it.
 *
 * @param {import('./configuration.mjs').Configuration} configuration
 * @param {Record<string, string>} secrets from the file
 * @param {Record<string, string> | undefined} otherSecrets those of another environment
 */
export function deploymentProblems(configuration, secrets, otherSecrets) {
  const values = { ...configuration.vars, ...secrets };
  const problems = [];
  const known = knownNames();
  for (const name of Object.keys(values)) {
    if (!known.includes(name))
      problems.push(
        `${name} is no variable of this Worker: correct the name, or remove it. .dev.vars.example lists all.`,
      );
  }
  for (const name of Object.keys(secrets)) {
    if (name in configuration.vars)
      problems.push(`${name} is set twice, in the file of secrets and under [vars] in wrangler.toml: remove one.`);
  }
  if (secrets[JURISDICTION])
    problems.push(
      `${JURISDICTION} is no secret: move it to [vars] in wrangler.toml, where this check compares it to the deployed one.`,
    );
  if (values.PUBLIC_ORIGIN)
    problems.push('PUBLIC_ORIGIN is set: the Worker would treat plain http as https. Remove it for a deployed Worker.');
  for (const name of ADDRESSES) {
    const url = parseUrl(values[name]);
    if (url && isLoopback(url))
      problems.push(
        `${name} leads to this machine, where no visitor and no Worker finds it: use a public https address, or remove it.`,
      );
  }
  problems.push(...redirectProblems(configuration, values));
  const hosts = customDomains(configuration);
  const domain = values.WORKOS_COOKIE_DOMAIN?.replace(/^\./, '').toLowerCase();
  for (const host of domain ? hosts : []) {
    if (host !== domain && !host.endsWith(`.${domain}`))
      problems.push(
        `WORKOS_COOKIE_DOMAIN is not ${host} or a domain above it, so that browsers refuse the session cookie: correct it, or remove it.`,
      );
  }
  for (const name of SECRETS) {
    if (otherSecrets && values[name] && values[name] === otherSecrets[name])
      problems.push(`${name} is the same as another environment's: a leak there is a leak here. Use another value.`);
  }
  return problems;
}

/** @param {import('./configuration.mjs').Configuration} configuration @param {Record<string, string>} values */
function redirectProblems(configuration, values) {
  const url = parseUrl(values.WORKOS_REDIRECT_URI);
  if (!url || isLoopback(url)) return [];
  const problems = [];
  if (url.pathname !== CALLBACK_PATH)
    problems.push(
      `WORKOS_REDIRECT_URI ends in "${url.pathname}", where the Worker finishes no sign-in: its path must be ${CALLBACK_PATH}.`,
    );
  const hosts = customDomains(configuration);
  const isOwn =
    hosts.length > 0
      ? hosts.includes(url.host)
      : url.host.startsWith(`${configuration.name}.`) && url.host.endsWith('.workers.dev');
  if (!isOwn)
    problems.push(
      `WORKOS_REDIRECT_URI leads to ${url.host}, and this Worker is at ${origin(configuration)}: correct it, or remove it, because the default is right.`,
    );
  return problems;
}

/** What a deployer should know, and nothing has to change for. @param {import('./configuration.mjs').Configuration} configuration @param {Record<string, string>} values */
export function variableNotes({ environment }, values) {
  const notes = [];
  const key = values.WORKOS_API_KEY ?? '';
  if (environment === undefined && key.startsWith('sk_test_'))
    notes.push('WORKOS_API_KEY is the key of a test environment of WorkOS (sk_test_…), and this is production.');
  if (environment !== undefined && key.startsWith('sk_live_'))
    notes.push(`WORKOS_API_KEY is the key of WorkOS's production (sk_live_…), and this is ${environment}.`);
  return notes;
}

/** @param {string | undefined} text */
function parseUrl(text) {
  return text && URL.canParse(text) ? new URL(text) : undefined;
}

/** @param {URL} url */
function isLoopback({ hostname }) {
  return (
    hostname === 'localhost' || hostname.endsWith('.localhost') || hostname.startsWith('127.') || hostname === '[::1]'
  );
}
