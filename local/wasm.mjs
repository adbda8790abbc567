/** Reads and writes the sections of a WebAssembly module (WebAssembly Core Specification, section 5.5). */

const SECTION_CUSTOM = 0;
const SECTION_IMPORT = 2;
const SECTION_MEMORY = 5;
const SECTION_EXPORT = 7;
const SECTION_CODE = 10;

const HEADER_BYTES = 8;
const PAGE_BYTES = 65_536;
const NAMES_OF_FUNCTIONS = 1;
const IMPORTED_FUNCTION = 0;
const IMPORTED_TAG = 4;

const LOOP = 0x03;
// Instructions that are not followed by a fixed count of numbers in LEB128.
const BR_TABLE = 0x0e;
const SELECT_OF_TYPE = 0x1c;
const TRY_TABLE = 0x1f;
const F32_CONST = 0x43;
const F64_CONST = 0x44;
const PREFIX = 0xfc;
const END = 0x0b;
/** Loads and stores. */
const [FIRST_ACCESS, LAST_ACCESS] = [0x28, 0x3e];
/** Of eight bytes, as the power of two. Larger numbers say that the index of a memory follows. */
const MAX_ALIGNMENT = 3;
/**
 * The first and the last of instructions that are followed by as many numbers. A type is a number too, as long as it has
 * one part.
 */
const NUMBERS_AFTER = [
  // `unreachable` and `nop`.
  [0x00, 0x01, 0],
  // `block`, `loop` and `if` with a type, `else`, and exceptions of the first kind.
  [0x02, 0x04, 1],
  [0x05, 0x05, 0],
  [0x06, 0x09, 1],
  [0x0a, 0x0b, 0],
  // `br` and `br_if`, `return`, calls.
  [0x0c, 0x0d, 1],
  [0x0f, 0x0f, 0],
  [0x10, 0x10, 1],
  [0x11, 0x11, 2],
  [0x12, 0x12, 1],
  [0x13, 0x13, 2],
  [0x18, 0x18, 1],
  // `catch_all`, `drop`, `select`.
  [0x19, 0x1b, 0],
  // Locals, globals and tables by their index.
  [0x20, 0x26, 1],
  [FIRST_ACCESS, LAST_ACCESS, 2],
  // The size of memory, and constants.
  [0x3f, 0x42, 1],
  // Arithmetic.
  [0x45, 0xc4, 0],
  // References.
  [0xd0, 0xd0, 1],
  [0xd1, 0xd1, 0],
  [0xd2, 0xd2, 1],
];
/** The same for what follows the prefix: conversions of floats, then memory and tables as a whole. */
const NUMBERS_AFTER_PREFIX = [0, 0, 0, 0, 0, 0, 0, 0, 2, 1, 2, 1, 2, 1, 2, 1, 1, 1];

/** Reads a module's bytes from a position on. */
class Reader {
  /** @param {Buffer} bytes @param {number} [at] */
  constructor(bytes, at = 0) {
    this.bytes = bytes;
    this.at = at;
  }

  /** An unsigned number in LEB128. */
  number() {
    let value = 0;
    for (let factor = 1; ; factor *= 128) {
      if (this.at >= this.bytes.length) throw new Error('The module ends within a number.');
      const byte = this.bytes[this.at++];
      value += (byte & 127) * factor;
      if (byte < 128) return value;
    }
  }

  /** The next bytes. @param {number} length */
  take(length) {
    this.at += length;
    return this.bytes.subarray(this.at - length, this.at);
  }

  /** Bytes with their length before them. */
  vector() {
    return this.take(this.number());
  }
}

/** @param {number} value */
function leb128(value) {
  const bytes = [];
  let rest = value;
  for (; rest > 127; rest = Math.floor(rest / 128)) bytes.push((rest % 128) + 128);
  return Buffer.from([...bytes, rest]);
}

/** @param {Buffer} bytes */
function withLength(bytes) {
  return Buffer.concat([leb128(bytes.length), bytes]);
}

/** Entries with their number before them. @param {Buffer[]} entries */
function vectorOf(entries) {
  return Buffer.concat([leb128(entries.length), ...entries]);
}

/** @typedef {{ kind: number, content: Buffer }} Section */

/** The sections of a module. @param {Buffer} wasm @returns {Section[]} */
function sectionsOf(wasm) {
  const reader = new Reader(wasm, HEADER_BYTES);
  const sections = [];
  while (reader.at < wasm.length) sections.push({ kind: reader.number(), content: reader.vector() });
  return sections;
}

/** The module with other sections. @param {Buffer} wasm @param {Section[]} sections */
function moduleOf(wasm, sections) {
  const parts = sections.map(({ kind, content }) => [Buffer.from([kind]), withLength(content)]);
  return Buffer.concat([wasm.subarray(0, HEADER_BYTES), ...parts.flat()]);
}

/**
 * The module with another content of its section of a kind, if it has one.
 *
 * @param {Buffer} wasm
 * @param {number} kind
 * @param {(content: Buffer) => Buffer} change
 */
function withSection(wasm, kind, change) {
  const sections = sectionsOf(wasm).map((section) =>
    section.kind === kind ? { kind, content: change(section.content) } : section,
  );
  return moduleOf(wasm, sections);
}

/** The exports of a module, with the bytes of their entries. @param {Buffer} content of the section */
function exportsIn(content) {
  const reader = new Reader(content);
  return Array.from({ length: reader.number() }, () => {
    const start = reader.at;
    const name = reader.vector().toString();
    // Its kind and its index.
    reader.take(1);
    reader.number();
    return { name, entry: content.subarray(start, reader.at) };
  });
}

/** The names of a module's exports. @param {Buffer} wasm */
export function exportNames(wasm) {
  const sections = sectionsOf(wasm).filter(({ kind }) => kind === SECTION_EXPORT);
  return sections.flatMap(({ content }) => exportsIn(content).map(({ name }) => name));
}

/**
 * The module with those of its exports that `isKept` names.
 *
 * @param {Buffer} wasm
 * @param {(name: string) => boolean} isKept
 */
export function withExports(wasm, isKept) {
  return withSection(wasm, SECTION_EXPORT, (content) => {
    const kept = exportsIn(content).filter(({ name }) => isKept(name));
    return vectorOf(kept.map(({ entry }) => entry));
  });
}

/** The code of each function of a module, without imported functions. @param {Buffer} wasm */
export function functionBodies(wasm) {
  const code = sectionsOf(wasm).find(({ kind }) => kind === SECTION_CODE);
  if (!code) return [];
  const reader = new Reader(code.content);
  return Array.from({ length: reader.number() }, () => reader.vector());
}

/**
 * The module without the alignment of its accesses to memory. It is a hint, which V8 does not use, and without it more
 * instructions are the same, so the module is 0.6 % smaller once it is gzipped.
 *
 * @param {Buffer} wasm
 */
export function withoutAlignment(wasm) {
  return withBodies(wasm, (body) => {
    const changed = Buffer.from(body);
    for (const { opcode, operands } of instructionsIn(body)) {
      if (opcode < FIRST_ACCESS || opcode > LAST_ACCESS) continue;
      if (body[operands] > MAX_ALIGNMENT) throw new Error('A function accesses another memory than the first.');
      changed[operands] = 0;
    }
    return changed;
  });
}

/**
 * The instructions of a function (section 5.4): where the operands of each begin, and where they end.
 *
 * @param {Buffer} body
 */
function* instructionsIn(body) {
  const reader = new Reader(body, endOfLocals(body));
  const numbers = (/** @type {number} */ count) => {
    for (let left = count; left > 0; left -= 1) reader.number();
  };
  let opcode = END;
  while (reader.at < body.length) {
    [opcode] = reader.take(1);
    const operands = reader.at;
    if (opcode === BR_TABLE) numbers(reader.number() + 1);
    else if (opcode === SELECT_OF_TYPE) numbers(reader.number());
    else if (opcode === F32_CONST) reader.take(4);
    else if (opcode === F64_CONST) reader.take(8);
    else if (opcode === TRY_TABLE) {
      numbers(1);
      // `catch` and `catch_ref` have a tag and a label, and those of all exceptions a label.
      for (let left = reader.number(); left > 0; left -= 1) numbers(reader.number() < 2 ? 2 : 1);
    } else if (opcode === PREFIX) {
      const prefixed = reader.number();
      const count = NUMBERS_AFTER_PREFIX[prefixed];
      if (count === undefined) throw new Error(unknown(`${PREFIX.toString(16)} ${prefixed}`));
      numbers(count);
    } else numbers(numbersAfter(opcode));
    yield { opcode, operands, end: reader.at };
  }
  if (opcode !== END) throw new Error('A function ends within an instruction.');
}

/** How many numbers follow an instruction. @param {number} opcode */
function numbersAfter(opcode) {
  const known = NUMBERS_AFTER.find(([first, last]) => opcode >= first && opcode <= last);
  if (!known) throw new Error(unknown(opcode.toString(16)));
  return known[2];
}

/** @param {string} instruction */
function unknown(instruction) {
  return `A function has the instruction ${instruction}, which local/wasm.mjs does not know yet.`;
}

/**
 * The module with other code of its functions.
 *
 * @param {Buffer} wasm
 * @param {(body: Buffer, index: number) => Buffer} change
 */
function withBodies(wasm, change) {
  const bodies = functionBodies(wasm).map(change);
  return withSection(wasm, SECTION_CODE, () => vectorOf(bodies.map(withLength)));
}

/**
 * The module with these names of functions, in place of its own names.
 *
 * @param {Buffer} wasm
 * @param {string[]} names a name for each of `functionBodies`
 */
export function withNames(wasm, names) {
  const sections = sectionsOf(wasm).filter((section) => !hasNames(section));
  const imports = importedFunctions(sections);
  const entries = names.map((name, index) => Buffer.concat([leb128(imports + index), withLength(Buffer.from(name))]));
  const functions = vectorOf(entries);
  const subsection = [Buffer.from([NAMES_OF_FUNCTIONS]), withLength(functions)];
  const content = Buffer.concat([withLength(Buffer.from('name')), ...subsection]);
  return moduleOf(wasm, [...sections, { kind: SECTION_CUSTOM, content }]);
}

/** Whether a section has the names of functions. @param {Section} section */
function hasNames({ kind, content }) {
  return kind === SECTION_CUSTOM && new Reader(content).vector().toString() === 'name';
}

/** The names of a module's functions, by their indices; imported functions come first. @param {Section[]} sections @returns {Map<number, string>} */
function functionNames(sections) {
  const names = new Map();
  for (const { content } of sections.filter(hasNames)) {
    const section = new Reader(content);
    // The section's own name.
    section.vector();
    while (section.at < content.length) {
      const [subsection, entries] = [section.number(), new Reader(section.vector())];
      if (subsection !== NAMES_OF_FUNCTIONS) continue;
      for (let left = entries.number(); left > 0; left -= 1) names.set(entries.number(), entries.vector().toString());
    }
  }
  return names;
}

/**
 * The counters of a module: numbers of 32 bits from this address of its memory on, one for the calls of each function,
 * then one for the iterations of each function's loops.
 *
 * @typedef {object} Counters
 * @property {number} address
 * @property {number} length
 * @property {{ name: string, bytes: number }[]} functions in the counters' order
 */

/**
 * The module with counters of calls and of iterations for each of its functions, in memory that is added for them.
 *
 * @param {Buffer} wasm
 * @returns {{ wasm: Buffer, counters: Counters }}
 */
export function withCounters(wasm) {
  const sections = sectionsOf(wasm);
  const bodies = functionBodies(wasm);
  const memory = sections.find(({ kind }) => kind === SECTION_MEMORY);
  if (!memory) throw new Error('The module has no memory of its own.');
  const reader = new Reader(memory.content);
  const [count, flags, pages] = [reader.number(), reader.number(), reader.number()];
  if (count !== 1 || flags !== 0) throw new Error('The memory of the module has a limit.');
  const address = pages * PAGE_BYTES;
  const length = bodies.length * 2;
  const added = Math.ceil((length * 4) / PAGE_BYTES);
  const counted = withBodies(wasm, (body, index) => {
    let at = endOfLocals(body);
    const parts = [body.subarray(0, at), countAt(address + index * 4)];
    const iteration = countAt(address + (bodies.length + index) * 4);
    for (const { opcode, end } of instructionsIn(body)) {
      if (opcode !== LOOP) continue;
      parts.push(body.subarray(at, end), iteration);
      at = end;
    }
    return Buffer.concat([...parts, body.subarray(at)]);
  });
  const changed = withSection(counted, SECTION_MEMORY, () => Buffer.from([1, 0, ...leb128(pages + added)]));
  const names = functionNames(sections);
  const imports = importedFunctions(sections);
  const functions = bodies.map(({ length }, index) => ({
    name: names.get(imports + index) ?? `function ${imports + index}`,
    bytes: length,
  }));
  return { wasm: changed, counters: { address, length, functions } };
}

/**
 * The functions that were called between two readings of the counters, and the sums of their calls, of their loops'
 * iterations and of their code.
 *
 * @param {Counters} counters
 * @param {number[]} before
 * @param {number[]} after
 */
export function countsBetween({ functions }, before, after) {
  const counted = (/** @type {number} */ index) => after[index] - before[index];
  const called = functions
    .map((one, index) => ({ ...one, calls: counted(index), iterations: counted(functions.length + index) }))
    .filter(({ calls }) => calls > 0);
  const sum = (/** @type {'calls' | 'iterations' | 'bytes'} */ of) => called.reduce((total, one) => total + one[of], 0);
  return { called, calls: sum('calls'), iterations: sum('iterations'), bytes: sum('bytes') };
}

/** Where the instructions of a function begin. @param {Buffer} body */
function endOfLocals(body) {
  const reader = new Reader(body);
  for (let groups = reader.number(); groups > 0; groups -= 1) {
    reader.number();
    const [type] = reader.take(1);
    if (type === 0x63 || type === 0x64) throw new Error('A function has a local of a type with two parts.');
  }
  return reader.at;
}

/** Instructions that add one to the number at an address. @param {number} address */
function countAt(address) {
  const [ZERO, ONE, ADD] = [[0x41, 0], [0x41, 1], [0x6a]];
  // The alignment, as a power of two, and the offset.
  const place = [2, ...leb128(address)];
  return Buffer.from([...ZERO, ...ZERO, 0x28, ...place, ...ONE, ...ADD, 0x36, ...place]);
}

/** The imports of a module, each in its parts. @param {Buffer} content of the section */
function importsIn(content) {
  const reader = new Reader(content);
  return Array.from({ length: reader.number() }, () => {
    const [module, name] = [reader.vector(), reader.vector().toString()];
    const start = reader.at;
    const kind = reader.number();
    if (kind !== IMPORTED_FUNCTION && kind !== IMPORTED_TAG)
      throw new Error(`The module has an import of kind ${kind}.`);
    if (kind === IMPORTED_TAG) reader.take(1);
    // The type.
    reader.number();
    return { module, name, kind, description: content.subarray(start, reader.at) };
  });
}

/** How many functions a module imports. @param {Section[]} sections */
function importedFunctions(sections) {
  const imports = sections.filter(({ kind }) => kind === SECTION_IMPORT).flatMap(({ content }) => importsIn(content));
  return imports.filter(({ kind }) => kind === IMPORTED_FUNCTION).length;
}

/** The names of a module's imports. @param {Buffer} wasm */
export function importNames(wasm) {
  const sections = sectionsOf(wasm).filter(({ kind }) => kind === SECTION_IMPORT);
  return sections.flatMap(({ content }) => importsIn(content).map(({ name }) => name));
}

/**
 * The module with its imports under other names.
 *
 * @param {Buffer} wasm
 * @param {(name: string) => string} rename
 */
export function withImports(wasm, rename) {
  return withSection(wasm, SECTION_IMPORT, (content) => {
    const entries = importsIn(content).map(({ module, name, description }) => {
      return Buffer.concat([withLength(module), withLength(Buffer.from(rename(name))), description]);
    });
    return vectorOf(entries);
  });
}
