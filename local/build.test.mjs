import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { gzipSync } from 'node:zlib';

import { BUNDLE_MAX_BYTES } from '../bench/operations.mjs';
import { EXPENSES, RELEASE, build, bundleFolder, sources } from './build.mjs';
import { EXAMPLE } from './example.mjs';
import { namedBySimilarity } from './similarity.mjs';
import {
  exportNames,
  functionBodies,
  importNames,
  withCounters,
  withExports,
  withImports,
  withNames,
  withoutAlignment,
} from './wasm.mjs';

await build('quiet');
const folder = bundleFolder(EXPENSES, RELEASE);
const wasm = readFileSync(join(folder, 'index_bg.wasm'));

test("another Worker's sources leave the bundle fresh", () => {
  // Both are compiled in the same folder.
  const own = new Set(sources(EXPENSES, RELEASE));
  assert.ok(own.has('crates/worker/src/lib.rs') && own.has('assets/style.css'));
  assert.ok(sources(EXAMPLE, RELEASE).includes('examples/worker/src/lib.rs'));
  assert.ok(!own.has('examples/worker/src/lib.rs'));
});

test('bundle has at most 500 kB gzipped', () => {
  const script = readFileSync(join(folder, 'index.js'));
  const bytes = [script, wasm].map((file) => gzipSync(file, { level: 9 }).length);
  assert.ok(bytes[0] + bytes[1] <= BUNDLE_MAX_BYTES, `index.js ${bytes[0]}, index_bg.wasm ${bytes[1]} bytes gzipped`);
});

test('bundle has no classes but its Durable Objects', () => {
  const classes = exportNames(wasm).flatMap((name) => /^__wbg_(\w+)_free$/.exec(name)?.[1] ?? []);
  assert.deepEqual(classes.sort(), ['ledger', 'sessionkeeper']);
});

test('module without exports keeps its functions', () => {
  const trimmed = withExports(wasm, (name) => name === 'memory');
  assert.deepEqual(exportNames(trimmed), ['memory']);
  assert.deepEqual(functionBodies(trimmed), functionBodies(wasm));
});

/** A module with a memory of one page, and two functions that do nothing, of which the second has two locals. */
const TWO_FUNCTIONS = Buffer.from([
  ...[0, 0x61, 0x73, 0x6d, 1, 0, 0, 0],
  ...[1, 4, 1, 0x60, 0, 0],
  ...[3, 3, 2, 0, 0],
  ...[5, 3, 1, 0, 1],
  ...[7, 18, 3, 6, ...Buffer.from('memory'), 2, 0, 1, 0x61, 0, 0, 1, 0x62, 0, 1],
  ...[10, 9, 2, 2, 0, 0x0b, 4, 1, 2, 0x7f, 0x0b],
]);

/** The exports of a module without imports. @param {Buffer} module */
function instantiated(module) {
  // Node's types know no WebAssembly.
  const { Instance, Module } = /** @type {any} */ (globalThis).WebAssembly;
  return new Instance(new Module(module)).exports;
}

test('module counts the calls of its functions', () => {
  const { wasm: counted, counters } = withCounters(withNames(TWO_FUNCTIONS, ['one', 'two']));
  const { memory, a, b } = instantiated(counted);
  a();
  for (let calls = 0; calls < 3; calls += 1) b();
  assert.deepEqual([...new Uint32Array(memory.buffer, counters.address, 2)], [1, 3]);
  assert.deepEqual(
    counters.functions.map(({ name }) => name),
    ['one', 'two'],
  );
  assert.equal(counters.address, 65_536);
});

/**
 * The module that begins like this, and ends with the code of its functions.
 *
 * @param {Buffer} start
 * @param {Buffer[]} bodies
 */
function withCode(start, bodies) {
  // Three bytes for each number: the format allows zeros before it.
  const leb128 = (/** @type {number} */ value) => [(value & 127) | 128, ((value >> 7) & 127) | 128, value >> 14];
  const parts = bodies.flatMap((body) => [Buffer.from(leb128(body.length)), body]);
  const content = Buffer.concat([Buffer.from(leb128(bodies.length)), ...parts]);
  return Buffer.concat([start, Buffer.from([10, ...leb128(content.length)]), content]);
}

/**
 * A module with a memory and one function, which takes and returns an integer.
 *
 * @param {number[]} code
 */
function moduleWith(code) {
  const start = [
    ...[0, 0x61, 0x73, 0x6d, 1, 0, 0, 0],
    ...[1, 6, 1, 0x60, 1, 0x7f, 1, 0x7f],
    ...[3, 2, 1, 0],
    ...[5, 3, 1, 0, 1],
    ...[7, 14, 2, 1, 0x61, 0, 0, 6, ...Buffer.from('memory'), 2, 0],
  ];
  return withCode(Buffer.from(start), [Buffer.from([0, ...code, 0x0b])]);
}

test('module counts the iterations of loops', () => {
  const [LOOP, GET, TEE, ONE, SUBTRACT, BR_IF, END] = [[3, 64], [32, 0], [34, 0], [65, 1], [107], [13, 0], [11]];
  // Two loops that count down to zero, the second from five.
  const down = [...LOOP, ...GET, ...ONE, ...SUBTRACT, ...TEE, ...BR_IF, ...END];
  const { wasm: counted, counters } = withCounters(moduleWith([...down, 65, 5, 33, 0, ...down, ...GET]));
  const { memory, a } = instantiated(counted);
  assert.equal(a(3), 0);
  assert.equal(a(1), 0);
  assert.deepEqual([...new Uint32Array(memory.buffer, counters.address, counters.length)], [2, 3 + 5 + 1 + 5]);
});

const I32_LOAD = 0x28;
const I32_STORE = 0x36;

test('module without alignment reads and writes the same', () => {
  const code = (/** @type {number} */ alignment) => [
    // What looks like an access: in a constant, and among the labels of a branch out of forty blocks.
    ...[0x44, ...Array(8).fill(I32_LOAD), 0x1a],
    ...Array(41).fill([0x02, 0x40]).flat(),
    ...[0x20, 0, 0x0e, 2, I32_LOAD, I32_LOAD, I32_LOAD],
    ...Array(41).fill(0x0b),
    ...[0x41, 8, 0x41, 42, I32_STORE, alignment, 4],
    ...[0x41, 8, I32_LOAD, alignment, 4],
  ];
  const unaligned = withoutAlignment(moduleWith(code(2)));
  assert.deepEqual(functionBodies(unaligned), functionBodies(moduleWith(code(0))));
  assert.equal(instantiated(unaligned).a(0), 42);
  assert.ok(withoutAlignment(wasm).equals(wasm), 'the bundle has no alignment');
});

/** Instructions that have what looks like an access in what follows them. */
const INSTRUCTIONS = {
  f32: [0x43, ...Array(4).fill(I32_LOAD)],
  'number of two bytes': [0x41, 0xa8, 0x28],
  'typed select': [0x1c, 1, I32_LOAD],
  'indirect call': [0x11, I32_LOAD, I32_LOAD],
  'try_table with each kind of catch': [0x1f, 0x40, 4, 0, 0x28, 0x28, 1, 0x28, 0x28, 2, 0x28, 3, 0x28],
  'memory.copy': [0xfc, 10, 0, 0],
  'table.fill': [0xfc, 17, I32_LOAD],
  'conversion without a trap': [0xfc, 7],
  'legacy catch': [0x07, I32_LOAD],
  throw_ref: [0x0a],
  'offset of three bytes': [I32_LOAD, 0, 0xa8, 0xa8, 0x28],
};

for (const [name, instruction] of Object.entries(INSTRUCTIONS)) {
  test(`module with ${name} loses the alignment behind it`, () => {
    const code = (/** @type {number} */ alignment) => [...instruction, I32_STORE, alignment, 0x28];
    assert.deepEqual(functionBodies(withoutAlignment(moduleWith(code(2)))), functionBodies(moduleWith(code(0))));
  });
}

test('a module that cannot be read is refused', () => {
  assert.throws(() => withoutAlignment(moduleWith([0xfd, 0])), /instruction fd, which local\/wasm.mjs does not know/);
  assert.throws(() => withoutAlignment(moduleWith([0xfc, 18])), /instruction fc 18/);
  assert.throws(() => withoutAlignment(moduleWith([I32_LOAD, 0x42, 1, 0])), /another memory/);
  assert.throws(() => withoutAlignment(moduleWith([0x41, 0x80])), /ends within an instruction/);
});

test('module imports by the same names as the script', () => {
  const words = new Set(readFileSync(join(folder, 'index.js'), 'utf8').match(/[\w$]+/g));
  const names = importNames(wasm);
  assert.deepEqual(
    names.filter((name) => !words.has(name)),
    [],
  );
  assert.deepEqual(
    names.filter((name) => /[0-9a-f]{16}/.test(name)),
    [],
  );
  const renamed = withImports(wasm, (name) => `${name}_`);
  assert.deepEqual(
    importNames(renamed),
    names.map((name) => `${name}_`),
  );
  assert.ok(withImports(renamed, (name) => name.slice(0, -1)).equals(wasm));
});

/** A module of functions that nothing describes but their code. @param {Buffer[]} bodies */
function moduleOf(bodies) {
  return withCode(TWO_FUNCTIONS.subarray(0, 8), bodies);
}

/** The functions of a module, in their order by similarity. @param {Buffer} module */
async function ordered(module) {
  const named = await namedBySimilarity(module);
  assert.deepEqual(functionBodies(named), functionBodies(module));
  const places = (named.subarray(module.length).toString('latin1').match(/\d{6}/g) ?? []).map(Number);
  const functions = functionBodies(module);
  assert.deepEqual(
    places.toSorted((one, other) => one - other),
    functions.map((_, index) => index),
  );
  return functions.map((_, place) => places.indexOf(place));
}

/** Bytes that are nowhere else. @param {string} name @param {number} length */
function bytesOf(name, length) {
  const blocks = Array.from({ length: Math.ceil(length / 64) }, (_, block) =>
    createHash('sha512').update(`${name} ${block}`).digest(),
  );
  return Buffer.concat(blocks).subarray(0, length);
}

test('order by similarity is complete and deterministic', async () => {
  const module = moduleOf(functionBodies(wasm).slice(0, 300));
  assert.deepEqual(await ordered(module), await ordered(Buffer.from(module)));
});

test('similar functions come near each other', async () => {
  // The most called ones, which stay, and then functions of ten kinds by turns: more than gzip's window.
  const called = Array.from({ length: 60 }, (_, index) => bytesOf(`called ${index}`, 20));
  const others = Array.from({ length: 100 }, (_, index) =>
    Buffer.concat([bytesOf(`kind ${index % 10}`, 900), bytesOf(`own ${index}`, 100)]),
  );
  const order = await ordered(moduleOf([...called, ...others]));
  assert.deepEqual(order.slice(0, 60), [...called.keys()]);
  const changes = order.slice(61).filter((index, place) => index % 10 !== order[60 + place] % 10);
  assert.equal(changes.length, 9);
});
