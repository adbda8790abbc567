/**
 * The ledger of the bare Worker and of the Hono peer: an object that answers the two messages that the real one gets
 * most. A read returns the rows of the log; a write puts a row, answers, and writes to KV in the background.
 */

/** @typedef {{ EXPENSES: KVNamespace, LEDGER: DurableObjectNamespace }} LedgerEnv */
/** @typedef {{ description: string, amount: string, currency: string, category: string, date: string, created_at: number, updated_at: number }} StoredExpense */
/** @typedef {{ key: string, record: StoredExpense, isInKv: boolean }} LogEntry */

/** The message of a read. */
const READ = 'read';
/** The beginning of the rows' names. */
const LOG = 'log:';

export class Ledger {
  #ctx;
  #env;
  /** @type {Map<string, LogEntry>} */
  #log;

  /** @param {DurableObjectState} ctx @param {LedgerEnv} env */
  constructor(ctx, env) {
    this.#ctx = ctx;
    this.#env = env;
    this.#log = new Map();
    for (const [name, entry] of ctx.storage.kv.list({ prefix: LOG })) {
      this.#log.set(name, /** @type {LogEntry} */ (entry));
    }
  }

  /** @param {Request} request */
  async fetch(request) {
    const message = await request.text();
    if (message === READ) return new Response(JSON.stringify([...this.#log.values()]));
    const { key, record } = JSON.parse(message);
    const entry = { key, record, isInKv: false };
    this.#put(entry);
    this.#ctx.waitUntil(this.#writeToKv(entry));
    return new Response('done');
  }

  /** @param {LogEntry} entry */
  #put(entry) {
    this.#log.set(LOG + entry.key, entry);
    this.#ctx.storage.kv.put(LOG + entry.key, entry);
  }

  /** @param {LogEntry} entry */
  async #writeToKv(entry) {
    const { key, record } = entry;
    await this.#env.EXPENSES.put(key, JSON.stringify(record), { metadata: record });
    this.#put({ ...entry, isInKv: true });
  }
}

/**
 * The rows of the log of one owner.
 *
 * @param {LedgerEnv} env
 * @param {string} owner
 * @returns {Promise<LogEntry[]>}
 */
export async function readLedger(env, owner) {
  return JSON.parse(await ask(env, owner, READ));
}

/**
 * Puts an expense under a key of KV.
 *
 * @param {LedgerEnv} env
 * @param {string} owner
 * @param {string} key
 * @param {StoredExpense} record
 */
export async function writeToLedger(env, owner, key, record) {
  await ask(env, owner, JSON.stringify({ key, record }));
}

/** @param {LedgerEnv} env @param {string} owner @param {string} message */
async function ask({ LEDGER }, owner, message) {
  const response = await LEDGER.getByName(owner).fetch('http://object/', { method: 'POST', body: message });
  return response.text();
}
