/** Namespaces of Durable Objects as the bundle sees them: messages fail or stand still where a test says so. */

/** How often a message that stands still looks again. */
const POLL_MS = 5;

/** By bindings: whose messages fail before an object has them, fail after its response, or stand still. */
export const faults = {
  /** @type {string[]} */
  failing: [],
  /** @type {string[]} */
  losing: [],
  /** @type {string[]} */
  held: [],
  isOneHeld: false,
  /** How long each message takes besides its own time, in milliseconds. */
  delayMs: 0,
  /** The share of messages that fail, from 0 to 1: half of them before an object has them, half after its response. */
  failingShare: 0,
};

/**
 * workerd alone has no jurisdictions. As at Cloudflare, a name is another object in each.
 *
 * @param {Pick<DurableObjectNamespace, 'getByName'>} namespace
 * @param {string} binding
 * @returns {object}
 */
export function withFaults(namespace, binding) {
  return {
    /** @param {string} place */
    jurisdiction: (place) =>
      withFaults({ getByName: (/** @type {string} */ name) => namespace.getByName(`${place}/${name}`) }, binding),
    /** @param {string} name */
    getByName: (name) => ({
      /** @param {string} url @param {RequestInit} options */
      async fetch(url, options) {
        const isFailing = Math.random() < faults.failingShare;
        const isLosing = isFailing && Math.random() < 0.5;
        if (faults.failing.includes(binding) || (isFailing && !isLosing)) throw connectionLost();
        if (faults.delayMs > 0) await scheduler.wait(faults.delayMs);
        while (faults.held.includes(binding)) {
          faults.isOneHeld = true;
          await scheduler.wait(POLL_MS);
        }
        const response = await namespace.getByName(name).fetch(url, options);
        if (!faults.losing.includes(binding) && !isLosing) return response;
        await response.arrayBuffer();
        throw connectionLost();
      },
    }),
  };
}

/** As the runtime makes it. */
function connectionLost() {
  return Object.assign(new Error('Network connection lost.'), { retryable: true });
}
