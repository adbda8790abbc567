/**
 * `npm run fuzz`: builds the fuzz targets of `fuzz/` with libFuzzer, runs each one for some minutes on inputs that it
 * makes of the seeds in `fuzz/corpus`, and prints a table. An input that fails is kept and its command printed.
 *
 *     npm run fuzz -- [--minutes 1] [--only cookie,form] [--jobs 1]
 *     npm run fuzz -- --only form --input build/fuzz/failures/form/crash-…
 *
 * Stable Rust suffices: the pinned compiler has LLVM's coverage counters, which libFuzzer follows. libFuzzer is C++,
 * and its package compiles it with the machine's C++ compiler. Committed seeds also run in `cargo test`, without
 * libFuzzer: `tests/fuzz_seeds.rs`.
 */

import { existsSync, mkdirSync, readdirSync } from 'node:fs';
import { join, relative } from 'node:path';

import { ROOT, Stop, bold, capture, green, main, red, start, step, readOptions } from './commands.mjs';

const USAGE = 'npm run fuzz -- [--minutes 1] [--only cookie,form] [--jobs 1] [--input file]';
const SEEDS = join(ROOT, 'fuzz/corpus');
/** Inputs that reached new code, from run to run, and inputs that failed. Not committed. */
const GROWN = join(ROOT, 'build/fuzz/grown');
const FAILURES = join(ROOT, 'build/fuzz/failures');
const TARGET_FOLDER = join(ROOT, 'target/fuzz');

/** Long enough for every structure that the parsers know; most of a longer input repeats. */
const INPUT_MAX_BYTES = 4096;
/** An input takes a millisecond; one that takes this long fails. */
const INPUT_MAX_SECS = 10;
const MEMORY_MAX_MIB = 2048;
const PROGRESS_MS = 15_000;

/** What cargo-fuzz sets, too: LLVM counts the edges that an input reaches and records what comparisons compare. */
const RUSTFLAGS = [
  '-Cpasses=sancov-module',
  '-Cllvm-args=-sanitizer-coverage-level=4',
  '-Cllvm-args=-sanitizer-coverage-inline-8bit-counters',
  '-Cllvm-args=-sanitizer-coverage-pc-table',
  '-Cllvm-args=-sanitizer-coverage-trace-compares',
  '--cfg fuzzing',
].join(' ');

/** @typedef {{ target: string, code: number, executions: number, coverage: number, added: number, seconds: number, failures: string[] }} Result */

await main(async () => {
  const options = /** @type {const} */ ({
    minutes: { type: 'string', default: '1' },
    only: { type: 'string' },
    jobs: { type: 'string', default: '1' },
    input: { type: 'string' },
  });
  const { values } = readOptions({ options }, USAGE);
  const minutes = Number(values.minutes);
  if (!(minutes > 0)) throw new Stop(`${values.minutes} is not a number of minutes: ${USAGE}`, 2);
  const jobs = Number(values.jobs);
  if (!Number.isSafeInteger(jobs) || jobs < 1) throw new Stop(`${values.jobs} is not a number of jobs: ${USAGE}`, 2);
  const known = readdirSync(SEEDS).sort();
  const targets = values.only?.split(',') ?? known;
  const unknown = targets.filter((target) => !known.includes(target));
  if (unknown.length > 0) throw new Stop(`There is no target ${unknown.join(', ')}: ${known.join(', ')}`, 2);

  const program = await build();
  if (values.input !== undefined) {
    if (targets.length !== 1) throw new Stop(`Name the one target of the input with --only: ${USAGE}`, 2);
    if (!existsSync(values.input)) throw new Stop(`There is no file ${values.input}.`, 2);
    const env = { FUZZ_TARGET: String(targets[0]), RUST_BACKTRACE: '1' };
    const { code } = await capture(program, [values.input], { env, show: true });
    if (code !== 0) throw new Stop(`The input fails ${targets[0]}: see above.`);
    console.log(green(`The input passes ${targets[0]}.`));
    return;
  }

  const rounds = Math.ceil(targets.length / jobs);
  console.log(`${targets.length} targets, ${minutes} min each: ${Math.ceil(rounds * minutes)} min\n`);
  const waiting = [...targets];
  /** @type {Result[]} */
  const results = [];
  const work = async () => {
    for (let target = waiting.shift(); target !== undefined; target = waiting.shift())
      results.push(await fuzz(program, target, minutes));
  };
  await Promise.all(Array.from({ length: jobs }, work));
  report(results);
});

/** Builds the program with every target; its path. */
async function build() {
  const compiler = process.env.CXX ?? 'c++';
  const { missing } = await capture(compiler, ['--version']);
  if (missing)
    throw new Stop(
      `libFuzzer needs a C++ compiler, and there is no ${compiler}: install g++ or clang, on macOS by xcode-select --install.`,
    );
  const { output } = await capture('rustc', ['-vV']);
  const host = /^host: (.+)$/m.exec(output)?.[1];
  if (!host) throw new Stop(`rustc does not say its host: install Rust from https://rustup.rs.\n${output}`);
  // With a named target, build scripts and macros get no counters.
  const args = ['build', '--release', '--manifest-path', 'fuzz/Cargo.toml', '--target', host];
  await step('fuzz targets: some minutes the first time', 'cargo', [...args, '--target-dir', TARGET_FOLDER], {
    env: { RUSTFLAGS },
    failure: 'The fuzz targets do not compile: see above.',
  });
  return join(TARGET_FOLDER, host, 'release/fuzz');
}

/** @param {string} program @param {string} target @param {number} minutes @returns {Promise<Result>} */
async function fuzz(program, target, minutes) {
  const grown = join(GROWN, target);
  const failures = join(FAILURES, target);
  for (const folder of [grown, failures]) mkdirSync(folder, { recursive: true });
  const before = new Set(readdirSync(failures));
  const began = Date.now();
  const options = {
    max_total_time: Math.max(1, Math.round(minutes * 60)),
    max_len: INPUT_MAX_BYTES,
    timeout: INPUT_MAX_SECS,
    rss_limit_mb: MEMORY_MAX_MIB,
    print_final_stats: 1,
    // LeakSanitizer is a part of AddressSanitizer, which needs nightly Rust.
    detect_leaks: 0,
    dict: join(ROOT, 'fuzz/words.dict'),
    artifact_prefix: `${failures}/`,
  };
  const flags = Object.entries(options).map(([name, value]) => `-${name}=${value}`);
  const child = start(program, [grown, join(SEEDS, target), ...flags], { env: { FUZZ_TARGET: target } });
  let [executions, coverage, added] = [0, 0, 0];
  let tail = '';
  child.stdout?.resume();
  child.stderr?.setEncoding('utf8').on('data', (/** @type {string} */ text) => {
    tail = (tail + text).slice(-16_384);
    // The last line may not have come whole.
    for (const line of tail.split('\n').slice(0, -1)) {
      const progress = /^#(\d+)\t.*\bcov: (\d+)/.exec(line);
      if (progress) {
        executions = Math.max(executions, Number(progress[1]));
        coverage = Number(progress[2]);
      }
      const stat = /^stat::(number_of_executed_units|new_units_added):\s+(\d+)/.exec(line);
      if (stat?.[1] === 'number_of_executed_units') executions = Number(stat[2]);
      else if (stat) added = Number(stat[2]);
    }
  });
  const seconds = () => (Date.now() - began) / 1000;
  const show = () =>
    console.log(
      `${target.padEnd(16)}${seconds().toFixed(0).padStart(5)} s  ${executions} inputs, ${coverage} edges reached`,
    );
  const ticking = setInterval(show, PROGRESS_MS);
  const code = await new Promise((resolve) => {
    child.once('error', () => resolve(127));
    child.once('close', (/** @type {number | null} */ code) => resolve(code ?? 1));
  });
  clearInterval(ticking);
  show();
  const kept = readdirSync(failures).filter((name) => !before.has(name));
  if (code !== 0) console.error(`\n${tail.trimEnd()}\n`);
  return { target, code, executions, coverage, added, seconds: seconds(), failures: kept };
}

/** @param {Result[]} results */
function report(results) {
  results.sort((a, b) => a.target.localeCompare(b.target));
  console.log(`\n${bold('target             minutes      inputs  edges    new  failures')}`);
  for (const { target, seconds, executions, coverage, added, failures } of results) {
    const numbers = [
      (seconds / 60).toFixed(1).padStart(10),
      String(executions).padStart(12),
      String(coverage).padStart(7),
      String(added).padStart(7),
      String(failures.length).padStart(10),
    ];
    console.log(`${target.padEnd(16)}${numbers.join('')}`);
  }
  const failed = results.filter(({ code }) => code !== 0);
  if (failed.length === 0) {
    console.log(green('\nNo input failed.'));
    return;
  }
  const lines = failed.flatMap(({ target, code, failures }) =>
    failures.length === 0
      ? [`${target} ended with code ${code} and without an input: see its output above.`]
      : failures.map(
          (name) => `  npm run fuzz -- --only ${target} --input ${relative(ROOT, join(FAILURES, target, name))}`,
        ),
  );
  console.error(red('\nInputs fail. To run one again, after each change of the code:'));
  console.error(lines.join('\n'));
  throw new Stop('When it passes, move the input to fuzz/corpus, into the folder of its target: cargo test keeps it.');
}
