/** Questions on the terminal whose answers are not shown. */

import { createInterface } from 'node:readline/promises';
import { Writable } from 'node:stream';

/** @typedef {{ input: NodeJS.ReadStream | NodeJS.ReadableStream, output: NodeJS.WriteStream | NodeJS.WritableStream }} Terminal */

/** Whether somebody can answer. @param {Terminal} terminal */
export function canAsk({ input, output }) {
  return Boolean(/** @type {any} */ (input).isTTY && /** @type {any} */ (output).isTTY);
}

/** Asks, and shows nothing of the answer. @param {Terminal} terminal @param {string} question */
export async function askSecretly({ input, output }, question) {
  // readline prints each typed character, and a secret must not show.
  const silent = new Writable({ write: (_chunk, _encoding, done) => done() });
  const lines = createInterface({ input, output: silent, terminal: true });
  const ended = new AbortController();
  // Ctrl-C and Ctrl-D end the question, and with it the deployment.
  lines.once('close', () => ended.abort());
  // After readline has turned the terminal's own echo off.
  output.write(question);
  try {
    return (await lines.question('', { signal: ended.signal })).trim();
  } catch {
    return undefined;
  } finally {
    lines.close();
    output.write('\n');
  }
}
