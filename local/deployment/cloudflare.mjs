/** What Cloudflare knows of a Worker, by Wrangler: who is signed in, and what the deployed version has. */

import { stripVTControlCharacters } from 'node:util';

import { Stop, capture } from '../commands.mjs';
import { WRANGLER_ENV } from '../wrangler.mjs';

/** How Wrangler says that an account has no such Worker, or that it was never deployed. */
const NOT_DEPLOYED = /code: 10007\b|has no deployments/;

/**
 * The deployed version.
 *
 * @typedef {object} Deployed
 * @property {string[]} secrets the names of its secrets; no one can read the values
 * @property {Record<string, string>} vars
 */

/** Wrangler's option for an environment: without one it warns where a file has several. @param {string | undefined} environment */
export function environmentOption(environment) {
  return `--env=${environment ?? ''}`;
}

/**
 * Whether Wrangler can use an account. A token counts without a question: it may be one that cannot read its user.
 *
 * @param {string} wrangler its script
 */
export async function isSignedIn(wrangler) {
  if (process.env.CLOUDFLARE_API_TOKEN) return true;
  const { code } = await capture(process.execPath, [wrangler, 'whoami', '--json'], { env: WRANGLER_ENV });
  return code === 0;
}

/**
 * What the deployed versions have; nothing where none is deployed.
 *
 * @param {string} wrangler
 * @param {string | undefined} environment
 * @returns {Promise<Deployed | undefined>}
 */
export async function deployed(wrangler, environment) {
  const status = await run(wrangler, ['deployments', 'status', '--json', environmentOption(environment)]);
  if (status === undefined) return undefined;
  /** @type {Deployed} */
  const known = { secrets: [], vars: {} };
  // Two versions during a gradual deployment; the last one is the new one.
  for (const { version_id: id } of JSON.parse(status).versions) {
    const version = await run(wrangler, ['versions', 'view', id, '--json', environmentOption(environment)]);
    for (const { type, name, text } of JSON.parse(version ?? '{"resources":{"bindings":[]}}').resources.bindings) {
      if (type === 'secret_text') known.secrets.push(name);
      if (type === 'plain_text') known.vars[name] = text;
    }
  }
  return known;
}

/** Wrangler's JSON; nothing where the Worker is not deployed. @param {string} wrangler @param {string[]} args */
async function run(wrangler, args) {
  const { code, output } = await capture(process.execPath, [wrangler, ...args], { env: WRANGLER_ENV });
  const text = stripVTControlCharacters(output);
  if (code === 0) return text.slice(text.indexOf('{'), text.lastIndexOf('}') + 1);
  if (NOT_DEPLOYED.test(text)) return undefined;
  throw new Stop(`Cloudflare did not tell what is deployed (wrangler ${args.slice(0, 2).join(' ')}):\n${text.trim()}`);
}
