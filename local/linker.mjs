#!/usr/bin/env node
/**
 * The linker of release builds: rustc's own, without the exports of classes that the crate `worker` has and the Worker
 * does not use. An export keeps the code behind it, with its tables of functions, which stay if the export is removed
 * after linking: 6 kB of the gzipped bundle. Cargo does not link again when only this file changes.
 */

import { spawnSync } from 'node:child_process';
import { dirname, join } from 'node:path';

/** Classes of `worker` and of `wasm-streams`, as the names of their exports have them. */
const UNUSED =
  /^(__wbindgen_describe_)?(__wbg_(get_|set_)?)?(containerstartupoptions|intounderlying(byte)?source|intounderlyingsink|minifyconfig|r2range)_/;

const args = process.argv.slice(2);
const kept = args.filter((arg, index) => {
  const exported = arg === '--export' ? args[index + 1] : args[index - 1] === '--export' ? arg : '';
  return !UNUSED.test(exported ?? '');
});
const libraries = spawnSync('rustc', ['--print', 'target-libdir'], { encoding: 'utf8' }).stdout.trim();
const { status } = spawnSync(join(dirname(libraries), 'bin/rust-lld'), kept, { stdio: 'inherit' });
process.exitCode = status ?? 1;
