/** Files of variables, `NAME=value` in each line, as .dev.vars and .deploy.vars are. */

/** The variable that the local runtime cannot have: it has no jurisdictions. */
export const JURISDICTION = 'DATA_JURISDICTION';

/** Parses the names and values of a dotenv file. @param {string} text @returns {Record<string, string>} */
export function parseVars(text) {
  const line = /^\s*(?:export\s+)?([A-Za-z_]\w*)\s*=\s*(?:"([^"]*)"|'([^']*)'|([^#\n]*))/gm;
  return Object.fromEntries(
    [...text.matchAll(line)].map(([, name, ...values]) => [
      name,
      (values.find((value) => value !== undefined) ?? '').trim(),
    ]),
  );
}
