/**
 * Wrangler's environment in this project, without telemetry and without files outside the project's folder, and
 * a filter that keeps only the output of the Worker and its requests from `wrangler dev`.
 */

import { stripVTControlCharacters } from 'node:util';

/** The environment of every Wrangler command. */
export const WRANGLER_ENV = {
  WRANGLER_SEND_METRICS: 'false',
  WRANGLER_SEND_ERROR_REPORTS: 'false',
  WRANGLER_HIDE_BANNER: 'true',
  WRANGLER_LOG_PATH: '.wrangler/logs',
  WRANGLER_REGISTRY_PATH: '.wrangler/registry',
  // A placeholder for `Request.cf`, without a network request.
  CLOUDFLARE_CF_FETCH_ENABLED: 'false',
};

/** Wrangler prints this line when the runtime has loaded a new bundle. */
const RELOAD_DONE = /^⎔ Local server updated and ready/;
/** Lines without information for the user. */
const NOISE = [
  RELOAD_DONE,
  /^Using (secrets|vars) defined in /,
  /^⎔ (Starting|Reloading) local server/,
  /^⎔ Shutting down/,
  /^\[wrangler:info\] Ready on /,
  // The health check of `npm start`.
  /^\[wrangler:info\] GET \/health 200 /,
  /Parsed \d+ valid header rule/,
  /^🪵/,
  // Wrangler removes a bundle's folder before it stops the folder's watcher, which may report it.
  /\[ERROR\] Build failed with \d+ errors?:$/,
  /Could not resolve ".*\/middleware-loader\.entry\.ts"/,
];
const BINDINGS_TABLE = /^Your Worker has access to the following bindings/;
const PREFIX = /^\[wrangler:(?:info|log)\] ?/;

/** Whether a line of `wrangler dev` says that requests reach the new bundle. @param {string} line */
export function isReloadDone(line) {
  return RELOAD_DONE.test(stripVTControlCharacters(line));
}

/**
 * A filter for `wrangler dev`'s output, line by line.
 *
 * @returns {(line: string) => string | undefined} the line to print, or nothing
 */
export function wranglerOutput() {
  let inTable = false;
  let blank = true;
  return (line) => {
    const plain = stripVTControlCharacters(line).trimEnd();
    if (inTable && plain !== '') return undefined;
    if (BINDINGS_TABLE.test(plain)) inTable = true;
    else if (plain === '') inTable = false;
    if (inTable || NOISE.some((noise) => noise.test(plain))) {
      // The empty line after a hidden line is hidden too.
      blank = true;
      return undefined;
    }
    const kept = plain.replace(PREFIX, '') === plain ? line.trimEnd() : plain.replace(PREFIX, '');
    // Consecutive empty lines are reduced to one.
    if (stripVTControlCharacters(kept).trim() === '') {
      if (blank) return undefined;
      blank = true;
      return '';
    }
    blank = false;
    return kept;
  };
}
