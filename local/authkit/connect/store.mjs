/**
 * What Connect remembers: registered clients, consents, codes, refresh tokens, its own browser
 * sessions. `adapter` is the storage interface that `oidc-provider` asks for, whose clock is the
 * computer's.
 */

/** Models that survive a restart: a registered client does not register again. */
const KEPT = new Set(['Client', 'Grant', 'RefreshToken', 'Session']);

/**
 * @typedef {object} Entry
 * @property {string} model
 * @property {string} id
 * @property {Record<string, any>} payload
 * @property {number | null} expiresAt milliseconds
 */

export class ConnectStore {
  /** @type {Map<string, Entry>} by model and id */
  #entries;
  #onChange;

  /**
   * @param {object} options
   * @param {() => void} options.onChange
   * @param {Entry[]} [options.saved] as `toJSON` gave them
   * @throws when `saved` is not of that form
   */
  constructor({ onChange, saved = [] }) {
    this.#onChange = onChange;
    this.#entries = new Map(saved.map((entry) => [keyOf(entry.model, entry.id), entry]));
    this.#prune();
  }

  /**
   * @param {string} model
   * @returns the storage of one kind
   */
  adapter(model) {
    const find = (/** @type {string} */ id) => this.#live(this.#entries.get(keyOf(model, id)));
    return {
      find: async (/** @type {string} */ id) => find(id),
      findByUid: async (/** @type {string} */ uid) =>
        this.#live(this.#all(model).find(({ payload }) => payload.uid === uid)),
      // Of the device flow, which is off.
      findByUserCode: async () => undefined,
      upsert: async (
        /** @type {string} */ id,
        /** @type {Record<string, any>} */ payload,
        /** @type {number} */ expiresIn,
      ) => {
        this.#prune();
        const expiresAt = expiresIn ? Date.now() + expiresIn * 1000 : null;
        this.#entries.set(keyOf(model, id), { model, id, payload, expiresAt });
        if (KEPT.has(model)) this.#onChange();
      },
      consume: async (/** @type {string} */ id) => {
        const payload = find(id);
        if (payload) payload.consumed = Math.floor(Date.now() / 1000);
        if (KEPT.has(model)) this.#onChange();
      },
      destroy: async (/** @type {string} */ id) => {
        if (this.#entries.delete(keyOf(model, id)) && KEPT.has(model)) this.#onChange();
      },
      revokeByGrantId: async (/** @type {string} */ grantId) => {
        for (const [key, { payload }] of this.#entries) if (payload.grantId === grantId) this.#entries.delete(key);
        this.#onChange();
      },
    };
  }

  /** @returns {Entry[]} */
  toJSON() {
    this.#prune();
    return [...this.#entries.values()].filter(({ model }) => KEPT.has(model));
  }

  /** @param {string} model @returns {Entry[]} */
  #all(model) {
    return [...this.#entries.values()].filter((entry) => entry.model === model);
  }

  /** @param {Entry | undefined} entry @returns {Record<string, any> | undefined} its payload */
  #live(entry) {
    return entry && (entry.expiresAt === null || entry.expiresAt > Date.now()) ? entry.payload : undefined;
  }

  #prune() {
    for (const [key, entry] of this.#entries) if (!this.#live(entry)) this.#entries.delete(key);
  }
}

/** @param {string} model @param {string} id */
function keyOf(model, id) {
  return `${model}:${id}`;
}
