/** The workflows of the public CI: what they run is pinned, and what they may do is little. */

import assert from 'node:assert/strict';
import { readFileSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';

import { ROOT } from './commands.mjs';

const FOLDER = join(ROOT, '.github/workflows');
const WORKFLOWS = readdirSync(FOLDER).map((name) => ({ name, text: readFileSync(join(FOLDER, name), 'utf8') }));

for (const { name, text } of WORKFLOWS) {
  test(`${name} pins every action by commit`, () => {
    const uses = [...text.matchAll(/^\s*-? *uses: (.*)$/gm)].map(([, action]) => action);
    assert.ok(uses.length > 0);
    for (const action of uses) assert.match(action, /^[\w./-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+$/);
  });

  test(`${name} may only read the repository`, () => {
    assert.match(text, /^permissions:\n {2}contents: read\n\n/m);
    assert.equal(text.match(/permissions:/g)?.length, 1);
    assert.doesNotMatch(text, /\bwrite(-all)?\b|pull_request_target|workflow_run/);
  });

  test(`${name} keeps no credentials of the checkout`, () => {
    const checkouts = text.split('actions/checkout@').slice(1);
    for (const checkout of checkouts) assert.match(checkout.split('- ')[0], /persist-credentials: false/);
  });

  test(`${name} puts no expression into a script`, () => {
    const scripts = [...text.matchAll(/^( *)(?:- )?run: (\|\n(?:\1 {2,}.*\n|\n)*|.*)/gm)].map(([, , script]) => script);
    assert.ok(scripts.length > 0);
    for (const script of scripts) assert.doesNotMatch(script, /\$\{\{/);
  });
}

test('actions have one commit in all workflows', () => {
  /** @type {Map<string, string>} */
  const commits = new Map();
  for (const { text } of WORKFLOWS) {
    for (const [, action, commit] of text.matchAll(/uses: ([\w./-]+)@(\w+)/g)) {
      assert.equal(commits.get(action) ?? commit, commit, action);
      commits.set(action, commit);
    }
  }
});

test('deployment needs an environment and takes no cache', () => {
  const { text } = /** @type {{ text: string }} */ (WORKFLOWS.find(({ name }) => name === 'deploy.yml'));
  assert.match(text, /^ {4}environment: /m);
  assert.doesNotMatch(text, /actions\/cache|^ +cache:/m);
  assert.match(text, /merge-base --is-ancestor "\$GITHUB_SHA" origin\/main/);
});

test('packages are checked for known faults every week', () => {
  const { text } = /** @type {{ text: string }} */ (WORKFLOWS.find(({ name }) => name === 'packages.yml'));
  assert.match(text, /^ {2}schedule:\n {4}- cron: '\d+ \d+ \* \* \d'$/m);
  assert.match(text, /^ {6}- run: \S+cargo-deny --locked --workspace --all-features check advisories /m);
});
