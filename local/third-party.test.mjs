import assert from 'node:assert/strict';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';

import { brokenRules, chosen, document, shippedCrates } from './third-party.mjs';

const INDEX = 'https://index.test';
const RULES = { licenses: { allow: ['MIT', 'Unicode-3.0'] }, sources: { 'allow-registry': [INDEX] }, bans: {} };
const FOLDER = mkdtempSync(join(tmpdir(), 'authkit-edge-third-party-'));
after(() => rmSync(FOLDER, { recursive: true, force: true }));

/** @param {object} [changes] */
function crate(changes = {}) {
  const sound = {
    id: 'id',
    name: 'one',
    version: '1.0.0',
    license: 'MIT',
    source: `registry+${INDEX}`,
    manifest_path: '/one/Cargo.toml',
  };
  return { ...sound, ...changes };
}

test('sound packages break no rule', () => {
  const own = crate({ name: 'own', license: null, source: null });
  const choice = crate({ name: 'two', license: '(MIT OR GPL-3.0) AND Unicode-3.0' });
  const npm = { '': {}, 'node_modules/a': { integrity: 'sha512-…' }, 'node_modules/b': { link: true } };
  assert.deepEqual(
    brokenRules([crate(), own, choice, crate({ name: 'three', license: 'Apache-2.0/MIT' })], RULES, npm),
    [],
  );
});

test('licence that is not allowed breaks a rule', () => {
  for (const license of ['GPL-3.0', 'MIT AND GPL-3.0', '', null]) {
    assert.match(brokenRules([crate({ license })], RULES, {})[0], /deny\.toml does not allow/);
  }
});

test('package from elsewhere breaks a rule', () => {
  assert.match(brokenRules([crate({ source: 'git+https://x.test' })], RULES, {})[0], /comes from git\+https/);
  assert.match(brokenRules([], RULES, { 'node_modules/a': {} })[0], /has no integrity/);
  const npm = { 'node_modules/a': { integrity: 'sha512-…', resolved: 'git+ssh://x.test' } };
  assert.match(brokenRules([], RULES, npm)[0], /comes from git\+ssh/);
});

test('duplicate breaks a rule until it is skipped', () => {
  const both = [crate(), crate({ version: '2.0.0' })];
  assert.match(brokenRules(both, RULES, {})[0], /one is there in the versions 1\.0\.0 and 2\.0\.0/);
  const rules = { ...RULES, bans: { skip: [{ crate: 'one@1.0.0' }] } };
  assert.deepEqual(brokenRules(both, rules, {}), []);
  assert.match(brokenRules([crate()], rules, {})[0], /skips one@1\.0\.0, which is no duplicate any more/);
});

test('licence is chosen from each alternative', () => {
  assert.deepEqual(chosen('Apache-2.0 OR MIT'), ['MIT']);
  assert.deepEqual(chosen('Unlicense/MIT'), ['MIT']);
  assert.deepEqual(chosen('(MIT OR Apache-2.0) AND Unicode-3.0'), ['MIT', 'Unicode-3.0']);
  assert.deepEqual(chosen('Apache-2.0 OR BSL-1.0'), ['Apache-2.0']);
});

test('document has each text once, with its packages', () => {
  for (const name of ['one', 'two', 'three']) mkdirSync(join(FOLDER, name));
  writeFileSync(join(FOLDER, 'one', 'LICENSE-MIT'), 'Copyright A\r\n');
  writeFileSync(join(FOLDER, 'one', 'LICENSE-APACHE'), 'not chosen');
  writeFileSync(join(FOLDER, 'two', 'license'), 'Copyright A\n');
  const at = (/** @type {string} */ name) => ({ manifest_path: join(FOLDER, name, 'Cargo.toml'), name });
  const packages = [crate(at('one')), crate(at('two')), crate(at('three')), crate({ name: 'test-only' })];
  const crates = shippedCrates(packages, new Set(['one@1.0.0', 'two@1.0.0', 'three@1.0.0']));
  const text = document(crates, [], '1.0.0');
  assert.match(text, /### one, two\n\n```text\nCopyright A\n```/);
  assert.match(text, /Without a file of their own: three \(MIT\)/);
  assert.doesNotMatch(text, /not chosen|test-only/);
});
