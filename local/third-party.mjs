/**
 * What a deployed Worker contains of other people's work, with its licences: THIRD-PARTY.md. It also checks every package of
 * the two lock files by the rules of deny.toml: licences, sources and duplicates.
 *
 *     node local/third-party.mjs            fails where the file is old, or a package breaks a rule
 *     node local/third-party.mjs --write    writes the file
 */

import { existsSync, readFileSync, readdirSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { pathToFileURL } from 'node:url';

import { ROOT, Stop, capture, main } from './commands.mjs';

const DOCUMENT = join(ROOT, 'THIRD-PARTY.md');
const WASM_TARGET = 'wasm32-unknown-unknown';
/** The package that is the Worker's module. */
const WORKER = 'authkit-edge-worker';
/** The npm packages whose files `local/build.mjs` copies into the bundle. */
const NPM_PACKAGES = ['swagger-ui-dist'];
/** The one to follow where a package offers a choice: the first of these that is offered. */
const PREFERRED = ['MIT', 'Apache-2.0', 'BSD-3-Clause', 'Zlib', 'Unlicense'];
/** The names of licence files. */
const FILE = /^(licen[cs]e|copying|unlicense|notice)([-._].*)?$/i;

/**
 * A package that the bundle contains.
 *
 * @typedef {object} Package
 * @property {string} name
 * @property {string} version
 * @property {string} licence as the package writes it
 * @property {string} folder
 */

/** @typedef {{ id: string, name: string, version: string, license: string | null, source: string | null, manifest_path: string }} CargoPackage */

/** Every package of Cargo.lock. @returns {Promise<{ packages: CargoPackage[] }>} */
async function metadata() {
  // Locked: a lock file that does not fit is an error, and is not written.
  const args = ['metadata', '--format-version', '1', '--locked', '--all-features'];
  const { code, output } = await capture('cargo', args);
  if (code !== 0) throw new Stop(`cargo metadata failed:\n${output}`);
  return JSON.parse(output.slice(output.indexOf('{"packages"')));
}

/**
 * The crates that are compiled into the wasm: without the features of tests, and without procedural macros and build scripts,
 * which run on the builder's machine only.
 */
async function shippedNames() {
  const args = ['tree', '--edges', 'normal,no-proc-macro', '--target', WASM_TARGET, '--package', WORKER];
  const { code, output } = await capture('cargo', [...args, '--locked', '--prefix', 'none', '--format', '{p}']);
  if (code !== 0) throw new Stop(`cargo tree failed:\n${output}`);
  return new Set([...output.matchAll(/^(\S+) v(\S+)/gm)].map(([, name, version]) => `${name}@${version}`));
}

/** The packages of crates.io among these names. @param {CargoPackage[]} packages @param {Set<string>} names @returns {Package[]} */
export function shippedCrates(packages, names) {
  return packages
    .filter(({ name, version, source }) => source !== null && names.has(`${name}@${version}`))
    .map(({ name, version, license, manifest_path: path }) => ({
      name,
      version,
      licence: license ?? '',
      folder: dirname(path),
    }))
    .sort((one, other) => one.name.localeCompare(other.name) || one.version.localeCompare(other.version));
}

/** The npm packages whose files are shipped. @returns {Package[]} */
function shippedNpm() {
  return NPM_PACKAGES.map((name) => {
    const folder = join(ROOT, 'node_modules', name);
    const { version, license } = JSON.parse(readFileSync(join(folder, 'package.json'), 'utf8'));
    return { name, version, licence: license, folder };
  });
}

/**
 * The licences to follow: one of each choice. `AND` demands all of its parts.
 *
 * @param {string} expression SPDX, or with slashes as older crates write it
 * @returns {string[]}
 */
export function chosen(expression) {
  const parts = expression.split(' AND ').map((part) => part.replace(/[()]/g, '').split(/ OR |\//));
  return parts.map((choices) => {
    const licence = PREFERRED.find((each) => choices.includes(each)) ?? choices[0];
    return licence.trim();
  });
}

/** The licence files of a package: those of the chosen licences where the names tell, else all. @param {Package} from */
function texts({ licence, folder }) {
  const files = readdirSync(folder)
    .filter((name) => FILE.test(name))
    .sort();
  const words = chosen(licence).map((each) => each.split('-')[0].toLowerCase());
  const fitting = files.filter(
    (name) => words.some((word) => name.toLowerCase().includes(word)) || /^notice/i.test(name),
  );
  return (fitting.length > 0 ? fitting : files).map((name) =>
    readFileSync(join(folder, name), 'utf8').replaceAll('\r\n', '\n').trim(),
  );
}

/** The document. @param {Package[]} crates @param {Package[]} npm @param {string} rust the toolchain's version */
export function document(crates, npm, rust) {
  /** The packages of each text, in the order of the packages. @type {Map<string, string[]>} */
  const owners = new Map();
  /** @type {string[]} */
  const without = [];
  for (const each of [...crates, ...npm]) {
    const own = texts(each);
    if (own.length === 0) without.push(`${each.name} (${each.licence})`);
    for (const text of own) owners.set(text, [...(owners.get(text) ?? []), each.name]);
  }
  const row = (/** @type {Package} */ { name, version, licence }) =>
    `| ${name} | ${version} | ${licence.replaceAll('/', ' OR ')} |`;
  const table = (/** @type {Package[]} */ rows) => [
    '| package | version | licence |',
    '| --- | --- | --- |',
    ...rows.map(row),
  ];
  return `${[
    '# Third-party software in the Worker',
    '',
    'Made by `node local/third-party.mjs --write`; `npm run check` fails where it is old. Where a package offers a choice of',
    'licences, this project follows MIT if it is one of them.',
    '',
    '## In the WebAssembly module',
    '',
    `Crates from crates.io, as Cargo.lock has them, and the standard library of Rust ${rust} (MIT OR Apache-2.0) with the crates in it.`,
    '',
    ...table(crates),
    '',
    '## In the static assets',
    '',
    'Files of npm packages, as package-lock.json has them. The licences of what `swagger-ui-bundle.js` contains are beside it,',
    'at `/docs/swagger-ui-bundle.js.LICENSE.txt`.',
    '',
    ...table(npm),
    '',
    '## Texts of the licences',
    ...(without.length > 0 ? ['', `Without a file of their own: ${without.join(', ')}.`] : []),
    ...[...owners].flatMap(([text, names]) => [
      '',
      `### ${[...new Set(names)].join(', ')}`,
      '',
      '```text',
      text,
      '```',
    ]),
  ].join('\n')}\n`;
}

/**
 * The rules of deny.toml, which cargo-deny applies in the public CI too.
 *
 * @typedef {object} Rules
 * @property {{ allow: string[] }} licenses
 * @property {{ 'allow-registry': string[] }} sources
 * @property {{ skip?: { crate: string }[] }} bans
 */

/** What in the two lock files breaks a rule. @param {CargoPackage[]} packages @param {Rules} rules @param {Record<string, { resolved?: string, link?: boolean, integrity?: string }>} npm */
export function brokenRules(packages, rules, npm) {
  const problems = [];
  const registry = packages.filter(({ source }) => source !== null);
  for (const { name, version, license, source } of registry) {
    const isAllowed = (license ?? '').split(' AND ').every((part) =>
      part
        .replace(/[()]/g, '')
        .split(/ OR |\//)
        .some((choice) => rules.licenses.allow.includes(choice.trim())),
    );
    if (!isAllowed) problems.push(`${name} ${version} has the licence "${license}", which deny.toml does not allow.`);
    if (!rules.sources['allow-registry'].some((url) => source === `registry+${url}`))
      problems.push(`${name} ${version} comes from ${source}, which deny.toml does not allow.`);
  }
  const skipped = (rules.bans.skip ?? []).map(({ crate }) => crate);
  /** @type {Map<string, string[]>} */
  const versions = new Map();
  for (const { name, version } of registry) versions.set(name, [...(versions.get(name) ?? []), version]);
  for (const [name, all] of versions) {
    const extra = all.filter((version) => !skipped.includes(`${name}@${version}`));
    if (extra.length > 1)
      problems.push(
        `${name} is there in the versions ${all.join(' and ')}: unite them, or add all but one to skip in deny.toml, with the reason.`,
      );
  }
  for (const skip of skipped) {
    const [name, version] = skip.split('@');
    if (!versions.get(name)?.includes(version) || (versions.get(name)?.length ?? 0) < 2)
      problems.push(`deny.toml skips ${skip}, which is no duplicate any more: remove it.`);
  }
  for (const [path, { link, integrity, resolved }] of Object.entries(npm)) {
    if (path === '' || link) continue;
    if (!integrity) problems.push(`${path} has no integrity in package-lock.json.`);
    // .npmrc leaves the addresses of the registry out: what has one comes from elsewhere.
    if (resolved) problems.push(`${path} comes from ${resolved}: only npm's registry is allowed.`);
  }
  return problems;
}

if (import.meta.url === pathToFileURL(process.argv[1]).href) {
  await main(async () => {
    const { parse } = await import('smol-toml');
    const rules = /** @type {Rules} */ (/** @type {unknown} */ (parse(readFileSync(join(ROOT, 'deny.toml'), 'utf8'))));
    const lock = JSON.parse(readFileSync(join(ROOT, 'package-lock.json'), 'utf8'));
    const { packages } = await metadata();
    const problems = brokenRules(packages, rules, lock.packages);
    if (problems.length > 0) throw new Stop(problems.join('\n'));

    const crates = shippedCrates(packages, await shippedNames());
    const rust = /^channel\s*=\s*"([^"]+)"/m.exec(readFileSync(join(ROOT, 'rust-toolchain.toml'), 'utf8'))?.[1] ?? '';
    const text = document(crates, shippedNpm(), rust);
    if (process.argv.includes('--write')) writeFileSync(DOCUMENT, text);
    else if (!existsSync(DOCUMENT) || readFileSync(DOCUMENT, 'utf8') !== text) {
      throw new Stop('THIRD-PARTY.md is not what the Worker contains: run node local/third-party.mjs --write.');
    }
  });
}
