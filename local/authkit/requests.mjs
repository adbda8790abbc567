/** A record of the requests received, for tests to count. Paths without queries: those hold codes. */

/** Oldest entries go first, so that a long `npm start` does not grow without end. */
const MAX_ENTRIES = 10_000;

/**
 * @typedef {object} RequestEntry
 * @property {string} method
 * @property {string} path
 * @property {string | null} grantType
 * @property {number | null} status null while it is being answered
 */

export class RequestLog {
  /** @type {RequestEntry[]} oldest first */
  entries = [];

  /**
   * @param {Partial<RequestEntry>} [match] members that must be equal
   * @returns {number}
   */
  count(match = {}) {
    const wanted = Object.entries(match);
    return this.entries.filter((entry) =>
      wanted.every(([key, value]) => entry[/** @type {keyof RequestEntry} */ (key)] === value),
    ).length;
  }

  clear() {
    this.entries = [];
  }

  /** @returns {import('express').RequestHandler} */
  record() {
    return (req, res, next) => {
      /** @type {RequestEntry} */
      const entry = { method: req.method, path: req.path, grantType: null, status: null };
      res.locals.entry = entry;
      res.on('finish', () => (entry.status = res.statusCode));
      this.entries.push(entry);
      if (this.entries.length > MAX_ENTRIES) this.entries.shift();
      next();
    };
  }

  /** @returns {import('express').RequestHandler} to come after the body has been parsed */
  recordGrantType() {
    return (req, res, next) => {
      const grantType = req.body?.grant_type;
      if (typeof grantType === 'string') res.locals.entry.grantType = grantType;
      next();
    };
  }
}
