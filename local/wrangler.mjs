/**
 * Wrangler, as this project runs it: no telemetry, nothing written outside the project's folder, and
 * of what `wrangler dev` prints only what the Worker and its requests have to say.
 */

import { stripVTControlCharacters } from 'node:util';

/** The environment every wrangler command gets. */
export const WRANGLER_ENV = {
  WRANGLER_SEND_METRICS: 'false',
  WRANGLER_SEND_ERROR_REPORTS: 'false',
  WRANGLER_HIDE_BANNER: 'true',
  WRANGLER_LOG_PATH: '.wrangler/logs',
  WRANGLER_REGISTRY_PATH: '.wrangler/registry',
  // `Request.cf` is a placeholder on this machine: no request to the outside for it.
  CLOUDFLARE_CF_FETCH_ENABLED: 'false',
};

/** What Wrangler prints when the runtime has taken a new bundle. */
const RELOAD_DONE = /^⎔ Local server updated and ready/;
/** Lines that tell the user nothing. */
const NOISE = [
  RELOAD_DONE,
  /^Using (secrets|vars) defined in /,
  /^⎔ (Starting|Reloading) local server/,
  /^⎔ Shutting down/,
  /^\[wrangler:info\] Ready on /,
  // What `npm start` itself asks for.
  /^\[wrangler:info\] GET \/health 200 /,
  /Parsed \d+ valid header rule/,
  /^🪵/,
  // Wrangler removes its folder for a bundle before it ends the watcher on it, which may notice.
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
      // An empty line after it would stand for nothing.
      blank = true;
      return undefined;
    }
    const kept = plain.replace(PREFIX, '') === plain ? line.trimEnd() : plain.replace(PREFIX, '');
    // One empty line is as good as three.
    if (stripVTControlCharacters(kept).trim() === '') {
      if (blank) return undefined;
      blank = true;
      return '';
    }
    blank = false;
    return kept;
  };
}
