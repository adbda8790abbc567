/**
 * The part of wrangler.toml that belongs to one environment, and the problems in it. Each problem is a sentence that
 * says what to do. The rules that the Worker itself applies to its variables are not here: `worker.mjs` asks the Worker.
 */

import { join } from 'node:path';

import { ROOT, Stop } from '../commands.mjs';
import { JURISDICTION } from '../vars.mjs';

/** The bindings without which the Worker refuses every request, and what they are. */
const KV_BINDING = 'EXPENSES';
const OBJECT_CLASSES = { LEDGER: 'Ledger', SESSIONS: 'SessionKeeper' };
/** The bindings without which the Worker serves requests without a limit. */
const RATE_LIMITS = ['ADDRESS_RATE_LIMIT', 'CALLER_RATE_LIMIT', 'MCP_RATE_LIMIT', 'ACCOUNT_RATE_LIMIT'];
/** The lists of wrangler.toml that environments do not inherit, and the member that names an entry. */
const LISTS = /** @type {const} */ ({
  kv_namespaces: 'binding',
  ratelimits: 'name',
  analytics_engine_datasets: 'binding',
});
/** Values that no one else may read. Each of them belongs in the file of secrets, not in wrangler.toml. */
export const SECRETS = [
  'WORKOS_API_KEY',
  'WORKOS_COOKIE_PASSWORD',
  'WORKOS_COOKIE_PASSWORD_PREVIOUS',
  'WORKOS_WEBHOOK_SECRET',
];
/**
 * One environment of wrangler.toml.
 *
 * @typedef {object} Configuration
 * @property {string} file
 * @property {string | undefined} environment `undefined` is production, the top level of the file
 * @property {string} name the Worker's
 * @property {import('wrangler').Unstable_Config} settings
 * @property {import('wrangler').Unstable_Config[]} others the file's other environments
 * @property {Record<string, string>} vars
 */

/**
 * Reads one environment. Wrangler's own reader decides what an environment inherits.
 *
 * @param {string | undefined} environment
 * @param {string} [file]
 * @returns {Promise<Configuration>}
 */
export async function readConfiguration(environment, file = join(ROOT, 'wrangler.toml')) {
  // Loaded here because set-up, which installs it, runs after this file has been loaded.
  const { unstable_readConfig: read, experimental_readRawConfig: readRaw } = await import('wrangler');
  try {
    const { rawConfig } = readRaw({ config: file }, { hideWarnings: true });
    const environments = Object.keys(rawConfig.env ?? {});
    if (environment !== undefined && !environments.includes(environment)) {
      const known = environments.map((name) => `--env ${name}`).join(', ') || 'none';
      throw new Stop(
        `wrangler.toml has no environment "${environment}". It has: ${known}; without --env it is production.`,
      );
    }
    const settings = (/** @type {string | undefined} */ name) =>
      read({ config: file, env: name }, { hideWarnings: true });
    const own = settings(environment);
    return {
      file,
      environment,
      name: own.name ?? '',
      settings: own,
      others: [undefined, ...environments].filter((name) => name !== environment).map(settings),
      vars: Object.fromEntries(Object.entries(own.vars).map(([name, value]) => [name, String(value)])),
    };
  } catch (error) {
    if (error instanceof Stop) throw error;
    throw new Stop(`wrangler.toml cannot be read: ${/** @type {Error} */ (error).message}`);
  }
}

/** What is wrong with the bindings and addresses of an environment. @param {Configuration} configuration */
export function configurationProblems(configuration) {
  return [
    ...bindingProblems(configuration),
    ...sharedProblems(configuration),
    ...addressProblems(configuration),
    ...variableProblems(configuration),
  ];
}

/** The table of wrangler.toml that a sentence leads to. @param {Configuration} configuration @param {string} name */
function table({ environment }, name) {
  return environment === undefined ? name : `env.${environment}.${name}`;
}

/** @param {Configuration} configuration */
function bindingProblems(configuration) {
  const { settings, others, environment } = configuration;
  const problems = [];
  if (!settings.kv_namespaces.some(({ binding }) => binding === KV_BINDING)) {
    problems.push(
      `The KV namespace ${KV_BINDING} is not bound: add [[${table(configuration, 'kv_namespaces')}]] with binding = "${KV_BINDING}".`,
    );
  }
  const created = new Set(settings.migrations.flatMap((migration) => migration.new_sqlite_classes ?? []));
  for (const [name, className] of Object.entries(OBJECT_CLASSES)) {
    const bound = settings.durable_objects.bindings.find((binding) => binding.name === name);
    const where = `[[${table(configuration, 'durable_objects.bindings')}]]`;
    if (!bound) {
      problems.push(
        `The Durable Objects ${name} are not bound: add ${where} with name = "${name}" and class_name = "${className}".`,
      );
    } else if (bound.class_name !== className) {
      problems.push(
        `The binding ${name} has the class "${bound.class_name}": set class_name = "${className}" in ${where}.`,
      );
    } else if (bound.script_name && bound.script_name !== settings.name) {
      problems.push(
        `The binding ${name} leads to the objects of another Worker, "${bound.script_name}": remove script_name in ${where}.`,
      );
    } else if (!created.has(className)) {
      problems.push(
        `No migration creates the class ${className}: add [[migrations]] with a new tag and new_sqlite_classes = ["${className}"].`,
      );
    }
  }
  if (!settings.assets?.directory) problems.push('The static assets are missing: restore [assets] in wrangler.toml.');
  if (environment === undefined) return problems;
  // Bindings are not inherited: an environment lacks what only the top level has.
  const [production] = others;
  const named = new Set(problems.join(' ').match(/\b[A-Z_]+\b/g) ?? []);
  for (const [list, key] of Object.entries(LISTS)) {
    const names = (/** @type {any} */ from) => (from[list] ?? []).map((/** @type {any} */ entry) => entry[key]);
    for (const name of names(production)) {
      if (names(settings).includes(name) || named.has(name)) continue;
      problems.push(
        `Production binds ${name}, and ${environment} does not, because environments inherit no bindings: copy its [[${list}]] to [[${table(configuration, list)}]].`,
      );
    }
  }
  if (production.version_metadata && !settings.version_metadata) {
    problems.push(
      `Production binds ${production.version_metadata.binding}, and ${environment} does not: copy [version_metadata] to [${table(configuration, 'version_metadata')}].`,
    );
  }
  return problems;
}

/** What two environments share and must not. @param {Configuration} configuration */
function sharedProblems({ settings, others }) {
  const problems = [];
  for (const other of others) {
    if (other.name === settings.name) {
      problems.push(
        `Two environments of wrangler.toml deploy to the Worker "${settings.name}": give one of them another name.`,
      );
    }
    for (const { binding, id } of settings.kv_namespaces) {
      if (id && other.kv_namespaces.some((namespace) => namespace.id === id)) {
        problems.push(
          `The binding ${binding} of "${settings.name}" has the KV namespace of "${other.name}", so that both write the same expenses: create another namespace (npx wrangler kv namespace create ${settings.name}-expenses) and put its id here.`,
        );
      }
    }
    for (const { name, namespace_id: id } of settings.ratelimits) {
      if (other.ratelimits.some((limit) => limit.namespace_id === id)) {
        problems.push(
          `The rate limit ${name} of "${settings.name}" counts together with one of "${other.name}": give it a namespace_id of its own.`,
        );
      }
    }
  }
  return problems;
}

/** @param {Configuration} configuration */
function addressProblems(configuration) {
  const { settings } = configuration;
  const problems = [];
  if (settings.preview_urls) {
    problems.push(
      'preview_urls is on: every uploaded version, also one with a fault, is reachable with these secrets and expenses. Set preview_urls = false.',
    );
  }
  const hosts = customDomains(configuration);
  if (hosts.length > 0 && settings.workers_dev !== false) {
    problems.push(
      `workers_dev is on, so that ${settings.name}.<your subdomain>.workers.dev is a second address beside ${hosts[0]}. Set workers_dev = false.`,
    );
  }
  for (const route of routes(settings)) {
    if (!route.custom_domain) {
      problems.push(
        `The route "${route.pattern}" is no custom domain: where the Worker may not run, as over the free plan's quota, Cloudflare passes its requests on to an origin server. Write { pattern = "<host name>", custom_domain = true }.`,
      );
    } else if (/[*/:]/.test(route.pattern)) {
      problems.push(`The custom domain "${route.pattern}" is no host name: write it without scheme, path and *.`);
    }
  }
  return problems;
}

/** What stands under [vars] and must not. @param {Configuration} configuration */
function variableProblems(configuration) {
  const { settings, vars } = configuration;
  const problems = SECRETS.filter((name) => vars[name]).map(
    (name) =>
      `${name} stands in wrangler.toml, which Git keeps: move it to the file of secrets, and replace the value, because it has been in the file.`,
  );
  if (vars[JURISDICTION]) {
    for (const { binding, id } of settings.kv_namespaces) {
      if (id) continue;
      problems.push(
        `${JURISDICTION} is set and the KV namespace ${binding} has no id, so that Cloudflare would create one without a jurisdiction: create it in the jurisdiction (docs/deployment.md) and put its id into [[${table(configuration, 'kv_namespaces')}]].`,
      );
    }
  }
  return problems;
}

/** What a deployer should know, and nothing has to change for. @param {Configuration} configuration */
export function configurationNotes(configuration) {
  const bound = configuration.settings.ratelimits.map(({ name }) => name);
  const missing = RATE_LIMITS.filter((name) => !bound.includes(name));
  return missing.map((name) => `The rate limit ${name} is not bound: there is no limit.`);
}

/** @param {import('wrangler').Unstable_Config} settings @returns {{ pattern: string, custom_domain?: boolean }[]} */
function routes(settings) {
  const all = [...(settings.routes ?? []), ...(settings.route === undefined ? [] : [settings.route])];
  return all.map((route) => (typeof route === 'string' ? { pattern: route } : route));
}

/** The host names of an environment. @param {Configuration} configuration */
export function customDomains({ settings }) {
  return routes(settings)
    .filter((route) => route.custom_domain)
    .map(({ pattern }) => pattern);
}

/** Where browsers reach the Worker, for sentences. @param {Configuration} configuration */
export function origin(configuration) {
  const [host] = customDomains(configuration);
  return `https://${host ?? `${configuration.name}.<your subdomain>.workers.dev`}`;
}
