import assert from 'node:assert/strict';
import {
  chmodSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';

import { ROOT, capture } from './commands.mjs';

/** What rustup says where the pinned toolchain is complete. */
const RUSTUP = '#!/bin/sh\nprintf "cargo-x\\nrustfmt-x\\nclippy-x\\nrust-src\\nrust-std-wasm32-unknown-unknown\\n"\n';

/** A machine without rustup, whose curl brings an installer that only notes its arguments. @param {import('node:test').TestContext} t */
function machine(t) {
  const folder = mkdtempSync(join(tmpdir(), 'authkit-edge-setup-'));
  t.after(() => rmSync(folder, { recursive: true, force: true }));
  const [bin, cargo, notes] = ['bin', 'cargo', 'notes'].map((name) => join(folder, name));
  mkdirSync(bin);
  symlinkSync(process.execPath, join(bin, 'node'));
  const installer = [`echo "$@" >> ${notes}`, `mkdir -p ${cargo}/bin`, `cp ${folder}/rustup ${cargo}/bin/rustup`];
  writeFileSync(join(folder, 'rustup'), RUSTUP);
  chmodSync(join(folder, 'rustup'), 0o755);
  writeFileSync(join(folder, 'installer'), installer.join('\n'));
  writeFileSync(join(bin, 'curl'), `#!/bin/sh\ncat ${folder}/installer\n`);
  chmodSync(join(bin, 'curl'), 0o755);
  return { notes, env: { PATH: `${bin}:/usr/bin:/bin`, CARGO_HOME: cargo } };
}

const SKIP = ['/usr/bin/rustup', '/bin/rustup'].some(existsSync) && 'rustup is where every machine has its programs';

test('set-up installs rustup in the build service alone', { skip: SKIP }, async (t) => {
  const { notes, env } = machine(t);
  const setUp = (/** @type {Record<string, string>} */ more) =>
    capture(join(env.PATH.split(':')[0], 'node'), [join(ROOT, 'local/setup.mjs')], { env: { ...env, ...more } });
  const elsewhere = await setUp({ WORKERS_CI: '' });
  assert.equal(elsewhere.code, 1, elsewhere.output);
  assert.match(elsewhere.output, /rustup was not found\. Install Rust with rustup/);
  assert.ok(!existsSync(notes));
  const there = await setUp({ WORKERS_CI: '1' });
  assert.equal(there.code, 0, there.output);
  assert.match(readFileSync(notes, 'utf8'), /^-y --profile minimal --default-toolchain none --no-modify-path\n$/);
  const again = await setUp({ WORKERS_CI: '1' });
  assert.equal(again.code, 0, again.output);
  assert.equal(readFileSync(notes, 'utf8').split('\n').length, 2, 'once');
});
