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

/** Lines that tell the user nothing. */
const NOISE = [
  /^\[custom build\] (Running:|Waiting for another command)/,
  /^Using (secrets|vars) defined in /,
  /^⎔ (Starting|Reloading) local server/,
  /^⎔ Local server updated and ready/,
  /^⎔ Shutting down/,
  /\[ERROR\] Running custom build .* failed\./,
  /^\[wrangler:info\] Ready on /,
  // What `npm start` itself asks for.
  /^\[wrangler:info\] GET \/health 200 /,
  /Parsed \d+ valid header rule/,
  /^🪵/,
  /^The file .* changed, restarting build/,
];
/** Wrangler's second and third account of a failed build: from a line like the first to one like the second. */
const FAILED_BUILD = [/\[ERROR\] Error: Command failed with exit code \d+: node local\/build\.mjs/, /^\s*\}$/];
const BINDINGS_TABLE = /^Your Worker has access to the following bindings/;
const PREFIX = /^\[(?:wrangler:(?:info|log)|custom build)\] ?/;

/**
 * A filter for `wrangler dev`'s output, line by line.
 *
 * @returns {(line: string) => string | undefined} the line to print, or nothing
 */
export function wranglerOutput() {
  let inTable = false;
  let inFailedBuild = false;
  let blank = true;
  return (line) => {
    const plain = stripVTControlCharacters(line).trimEnd();
    if (inFailedBuild) {
      inFailedBuild = !FAILED_BUILD[1].test(plain);
      return undefined;
    }
    inFailedBuild = FAILED_BUILD[0].test(plain);
    if (inFailedBuild) return undefined;
    if (inTable && plain !== '') return undefined;
    if (BINDINGS_TABLE.test(plain)) inTable = true;
    else if (plain === '') inTable = false;
    if (inTable || NOISE.some((noise) => noise.test(plain))) return undefined;
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
