/**
 * `npm run check`: set-up, then formatting, lints, types and documentation, the fastest step first. Stops at
 * the first step that fails, with its whole output and what to do about it.
 */

import { join } from 'node:path';

import { ROOT, Stop, capture, dim, main } from './commands.mjs';
import { setUp } from './setup.mjs';

const NPM_BIN = join(ROOT, 'node_modules', '.bin');
const BIOME = join(NPM_BIN, 'biome');
const TSC = join(NPM_BIN, 'tsc');
const WASM_TARGET = 'wasm32-unknown-unknown';
const COLOUR = process.stdout.isTTY ? 'always' : 'never';

/**
 * @typedef {object} Check
 * @property {string} title
 * @property {string} command
 * @property {string[]} args
 * @property {Record<string, string>} [env]
 * @property {string} advice what to do when the step fails
 */

/** @type {Check[]} */
const CHECKS = [
  {
    title: 'JavaScript: format',
    command: BIOME,
    args: ['format'],
    advice: 'Run npm run format.',
  },
  {
    title: 'JavaScript: lints',
    command: BIOME,
    args: ['lint', '--error-on-warnings'],
    advice: 'Correct the code; the rules are in biome.jsonc.',
  },
  {
    title: 'JavaScript: types on Node',
    command: TSC,
    args: ['--project', 'tsconfig.json'],
    advice: 'Correct the types; they are JSDoc.',
  },
  {
    title: 'JavaScript: types on pages',
    command: TSC,
    args: ['--project', 'tsconfig.browser.json'],
    advice: 'Correct the types; they are JSDoc.',
  },
  {
    title: 'JavaScript: types on workerd',
    command: TSC,
    args: ['--project', 'tsconfig.workerd.json'],
    advice: 'Correct the types; they are JSDoc.',
  },
  {
    title: 'Documents: capacity',
    command: process.execPath,
    args: ['local/capacity.mjs'],
    advice: 'Run node local/capacity.mjs --write.',
  },
  {
    title: 'Packages: rules, licences',
    command: process.execPath,
    args: ['local/third-party.mjs'],
    advice: 'Follow deny.toml, or run node local/third-party.mjs --write.',
  },
  {
    title: 'Rust: format',
    command: 'cargo',
    args: ['fmt', '--all', '--check'],
    advice: 'Run npm run format.',
  },
  {
    title: 'Rust: lints on the host',
    command: 'cargo',
    args: ['clippy', '--workspace', '--all-targets', '--', '-D', 'warnings'],
    advice: 'Correct the code; the lints are in Cargo.toml and clippy.toml.',
  },
  {
    title: 'Rust: lints on wasm',
    command: 'cargo',
    args: ['clippy', '--workspace', '--lib', '--test', 'wasm', '--target', WASM_TARGET, '--', '-D', 'warnings'],
    advice: 'Correct the code; the lints are in Cargo.toml and clippy.toml.',
  },
  {
    title: 'Rust: documentation',
    command: 'cargo',
    args: ['doc', '--workspace', '--all-features', '--no-deps', '--quiet'],
    env: { RUSTDOCFLAGS: '-D warnings' },
    advice: 'Correct the comments that rustdoc names.',
  },
];

await main(async () => {
  await setUp();
  for (const { title, command, args, env, advice } of CHECKS) {
    const began = Date.now();
    const { code, output } = await capture(command, args, { env: { CARGO_TERM_COLOR: COLOUR, ...env } });
    if (code !== 0) {
      console.error(`\n${output.trimEnd()}`);
      throw new Stop(`The check "${title}" failed: see above. ${advice}`, code);
    }
    console.log(`${title.padEnd(28)} ${dim(`${((Date.now() - began) / 1000).toFixed(1)} s`)}`);
  }
});
