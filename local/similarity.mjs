/**
 * The order of a module's functions in which similar ones are beside each other. gzip finds repetitions within 32 kB, and
 * a bundle is 2 % smaller in this order than in the order of the functions' names.
 */

import { functionBodies, withNames } from './wasm.mjs';

/** The length of the sequences that two functions are compared by, in bytes. */
const SEQUENCE_BYTES = 5;
/** A sequence that more functions have tells little of them, and counting it takes most of the time. */
const MAX_HOLDERS = 1500;
/** Added to a function's length, so that short functions are not preferred. Of the values tried, it makes the smallest bundle. */
const LENGTH_OFFSET_BYTES = 1600;
/** A sequence of a function counts this much more than one of the function before it. */
const GROWTH = 1.2;
/** Below the largest number of JavaScript, 1.8e308, by more than a function can add. */
const MAX_WEIGHT = 1e200;
/** The first functions keep their place: those that are called most have indices of one byte, up to 127. */
const FIXED_FUNCTIONS = 60;

/**
 * The module with names of functions by which wasm-opt's `--reorder-functions-by-name` puts them in this order.
 *
 * @param {Buffer} wasm a module whose most called functions come first
 */
export function namedBySimilarity(wasm) {
  const bodies = functionBodies(wasm);
  /** @type {string[]} */
  const names = Array.from({ length: bodies.length });
  order(bodies).forEach((body, place) => {
    names[body] = String(place).padStart(6, '0');
  });
  return withNames(wasm, names);
}

/**
 * The indices of the functions in an order in which each shares most sequences, for its length, with the functions before
 * it; the last of them count most. The time is at most in proportion to all functions' lengths times `MAX_HOLDERS`. Ties
 * go to the lower index, so the order depends on the bytes alone.
 *
 * @param {Buffer[]} bodies
 */
function order(bodies) {
  const similar = similarFunctions(bodies);
  const ordered = [...bodies.keys()].slice(0, FIXED_FUNCTIONS);
  const left = new Set([...bodies.keys()].slice(FIXED_FUNCTIONS));
  /** The weights of the sequences that each function shares with those before. */
  const shared = new Float64Array(bodies.length);
  let weight = 1;
  for (;;) {
    const last = ordered[ordered.length - 1];
    weight *= GROWTH;
    if (weight > MAX_WEIGHT) {
      shared.forEach((sum, index) => {
        shared[index] = sum / weight;
      });
      weight = 1;
    }
    /** @type {Set<number>} */
    const candidates = new Set();
    for (const holders of last === undefined ? [] : similar[last]) {
      for (const other of holders) {
        if (!left.has(other)) continue;
        candidates.add(other);
        shared[other] += weight;
      }
    }
    let best = 0;
    let [next] = left;
    if (next === undefined) return ordered;
    for (const other of candidates) {
      const score = shared[other] / weight / (LENGTH_OFFSET_BYTES + bodies[other].length);
      if (score > best || (score === best && other < next)) [best, next] = [score, other];
    }
    left.delete(next);
    ordered.push(next);
  }
}

/** For each function, the functions that have each of its sequences. @param {Buffer[]} bodies */
function similarFunctions(bodies) {
  /** The functions that have a sequence. @type {Map<string, number[]>} */
  const holders = new Map();
  const sequences = bodies.map((body, index) => {
    /** @type {Set<string>} */
    const own = new Set();
    for (let at = 1; at + SEQUENCE_BYTES <= body.length; at++) {
      own.add(body.toString('latin1', at, at + SEQUENCE_BYTES));
    }
    for (const sequence of own) {
      const known = holders.get(sequence);
      if (known) known.push(index);
      else holders.set(sequence, [index]);
    }
    return own;
  });
  return sequences.map((own) =>
    [...own].flatMap((sequence) => {
      const known = holders.get(sequence) ?? [];
      return known.length > 1 && known.length <= MAX_HOLDERS ? [known] : [];
    }),
  );
}
