/**
 * The order of a module's functions in which similar ones are near each other. gzip finds a repetition within 32 kB, and
 * refers to a near one in fewer bits: a module is 4 % smaller in this order than in the order of the functions' names.
 */

import { setImmediate as turn } from 'node:timers/promises';

import { functionBodies, withNames } from './wasm.mjs';

/** The length of the sequences that functions have in common, in bytes. Of 4 to 8, it makes the smallest bundle. */
const SEQUENCE_BYTES = 6;
/** A sequence that more functions have is never far away, and looking for all of them takes most of the time. */
const MAX_HOLDERS = 160;
/** The first functions keep their place: those that are called most have indices of one byte, up to 127. */
const FIXED_FUNCTIONS = 60;
/** How often each function gets the best place for it, in five seconds each. A fifth time saves up to 0.5 kB. */
const ROUNDS = 4;
/** After so many functions, timers of the process have their turn: the lock of a build is kept alive by one. */
const FUNCTIONS_PER_TURN = 100;

/**
 * What a sequence saves that was there up to so many bytes before: more where it is nearer.
 *
 * @typedef {{ distance: number, gain: number }} Level
 */

/** From near to far, the window of gzip. Every other distance is twice as long. @type {Level[]} */
const LEVELS = Array.from({ length: 17 }, (_, level) => ({
  distance: Math.floor(128 * 2 ** (level / 2)),
  gain: 1 + 0.175 * (16 - level),
}));

/**
 * The module with names of functions by which wasm-opt's `--reorder-functions-by-name` puts them in this order.
 *
 * @param {Buffer} wasm a module whose most called functions come first
 */
export async function namedBySimilarity(wasm) {
  const bodies = functionBodies(wasm);
  /** @type {string[]} */
  const names = Array.from({ length: bodies.length });
  for (const [place, body] of (await order(bodies)).entries()) names[body] = String(place).padStart(6, '0');
  return withNames(wasm, names);
}

/**
 * The indices of the functions in their order: first each is put where it saves most among those that are there, short
 * ones before long ones, and then again, among all others. The order depends on the bytes alone. It is no optimum: what a
 * function pushes apart is not counted.
 *
 * @param {Buffer[]} bodies
 */
async function order(bodies) {
  const row = new Row(bodies);
  const all = [...bodies.keys()];
  for (const index of all.slice(0, FIXED_FUNCTIONS)) row.insert(index, index);
  const moved = all.slice(FIXED_FUNCTIONS).sort((one, other) => bodies[one].length - bodies[other].length);
  for (let round = 0; round < ROUNDS; round += 1) {
    for (const [count, index] of (round === 0 ? moved : row.functions.slice(FIXED_FUNCTIONS)).entries()) {
      if (round > 0) row.remove(index);
      row.insert(index, row.bestPlace(index));
      if (count % FUNCTIONS_PER_TURN === 0) await turn();
    }
  }
  return row.functions;
}

/** Functions in a row, and where each sequence is in it. */
class Row {
  /** The indices of the functions, in their order. @type {number[]} */
  functions = [];
  /** Where each function begins, by its place, and at last where the row ends. */
  #starts;
  /** The first place that does not begin before each multiple of `STEP_BYTES`. */
  #places;
  /** Where a function begins, by its index; without meaning for one that is not in the row. */
  #positions;
  /** By the number of a sequence, the functions in the row that have it, in their order. @type {number[][]} */
  #holders = [];
  /** By the index of a function, the numbers of its sequences. @type {number[][]} */
  #sequences;
  #bodies;

  static #STEP_BYTES = 256;

  /** An empty row. @param {Buffer[]} bodies of all functions */
  constructor(bodies) {
    this.#bodies = bodies;
    this.#positions = new Float64Array(bodies.length);
    this.#starts = new Float64Array(bodies.length + 1);
    const bytes = bodies.reduce((sum, body) => sum + body.length, 0);
    this.#places = new Int32Array(Math.ceil(bytes / Row.#STEP_BYTES) + 2);
    this.#sequences = commonSequences(bodies);
    for (const sequence of this.#sequences.flat()) this.#holders[sequence] ??= [];
  }

  /** @param {number} index @param {number} place */
  insert(index, place) {
    this.functions.splice(place, 0, index);
    this.#measure();
    for (const sequence of this.#sequences[index]) {
      const holders = this.#holders[sequence];
      const next = holders.findIndex((other) => this.#positions[other] > this.#positions[index]);
      holders.splice(next < 0 ? holders.length : next, 0, index);
    }
  }

  /** @param {number} index */
  remove(index) {
    this.functions.splice(this.functions.indexOf(index), 1);
    this.#measure();
    for (const sequence of this.#sequences[index]) {
      const holders = this.#holders[sequence];
      holders.splice(holders.indexOf(index), 1);
    }
  }

  /** The place where a function that is not in the row saves most. @param {number} index */
  bestPlace(index) {
    const length = this.#bodies[index].length;
    // The difference of what each place saves to what the one before it does.
    const differences = new Float64Array(this.functions.length + 2);
    for (const sequence of this.#sequences[index]) {
      const positions = this.#holders[sequence].map((holder) => this.#positions[holder]);
      positions.forEach((position, at) => {
        this.#addAfter(differences, position, positions[at + 1]);
        this.#addBefore(differences, position, positions[at - 1], length);
      });
    }
    let [best, most, sum] = [this.functions.length, -1, 0];
    for (let place = 0; place <= this.functions.length; place += 1) {
      sum += differences[place];
      if (place >= FIXED_FUNCTIONS && sum > most) [best, most] = [place, sum];
    }
    return best;
  }

  /**
   * Adds what a sequence saves at the places after a holder of it, where a function refers to that holder.
   *
   * @param {Float64Array} differences
   * @param {number} position of the holder
   * @param {number | undefined} next position of a holder
   */
  #addAfter(differences, position, next) {
    const end = next === undefined ? this.functions.length + 1 : this.#placeAt(next + 1);
    let from = this.#placeAt(position + 1);
    for (let level = 0; level < LEVELS.length && from < end; level += 1) {
      const { distance, gain } = LEVELS[level];
      const to = Math.min(end, this.#placeAt(position + distance + 1));
      // Several levels can end before the next place.
      if (to <= from) continue;
      differences[from] += gain;
      differences[to] -= gain;
      from = to;
    }
  }

  /**
   * Adds what a sequence saves at the places before a holder of it: the holder then refers to the function there, if it
   * refers to nothing as near.
   *
   * @param {Float64Array} differences
   * @param {number} position of the holder
   * @param {number | undefined} previous position of a holder
   * @param {number} length of the function
   */
  #addBefore(differences, position, previous, length) {
    const known = previous === undefined ? 0 : gainAt(position - previous);
    const start = previous === undefined ? 0 : this.#placeAt(previous + 1);
    let to = this.#placeAt(position + 1);
    for (let level = 0; level < LEVELS.length && to > start && LEVELS[level].gain > known; level += 1) {
      const { distance, gain } = LEVELS[level];
      const from = Math.max(start, this.#placeAt(position + length - distance));
      if (from >= to) continue;
      differences[from] += gain - known;
      differences[to] -= gain - known;
      to = from;
    }
  }

  /** The first place that begins at a position or after it. @param {number} position */
  #placeAt(position) {
    const last = this.functions.length;
    if (position > this.#starts[last]) return last + 1;
    let place = this.#places[Math.max(0, Math.floor(position / Row.#STEP_BYTES))];
    while (this.#starts[place] < position) place += 1;
    return place;
  }

  #measure() {
    let [start, step] = [0, 0];
    for (let place = 0; place <= this.functions.length; place += 1) {
      this.#starts[place] = start;
      for (; step * Row.#STEP_BYTES <= start; step += 1) this.#places[step] = place;
      const index = this.functions[place];
      if (index === undefined) break;
      this.#positions[index] = start;
      start += this.#bodies[index].length;
    }
  }
}

/** What a sequence saves that was there so many bytes before. @param {number} distance */
function gainAt(distance) {
  return LEVELS.find((level) => distance <= level.distance)?.gain ?? 0;
}

/** For each function, the numbers of the sequences that it has in common with some others. @param {Buffer[]} bodies */
function commonSequences(bodies) {
  /** The functions that have a sequence. @type {Map<string, number[]>} */
  const holders = new Map();
  bodies.forEach((body, index) => {
    /** @type {Set<string>} */
    const own = new Set();
    for (let at = 0; at + SEQUENCE_BYTES <= body.length; at += 1) {
      own.add(body.toString('latin1', at, at + SEQUENCE_BYTES));
    }
    for (const sequence of own) {
      const known = holders.get(sequence);
      if (known) known.push(index);
      else holders.set(sequence, [index]);
    }
  });
  /** @type {number[][]} */
  const sequences = bodies.map(() => []);
  const common = [...holders.values()].filter(({ length }) => length > 1 && length <= MAX_HOLDERS);
  common.forEach((functions, number) => {
    for (const index of functions) sequences[index].push(number);
  });
  return sequences;
}
