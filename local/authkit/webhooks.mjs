/** Webhooks as WorkOS sends them: events, signed with the endpoint's secret. */

import { createHmac } from 'node:crypto';

import { newId } from './ids.mjs';
import { loopbackUrl } from './parameters.mjs';

/**
 * @typedef {object} Endpoint
 * @property {string} url on this computer
 * @property {string} secret
 */

/**
 * @typedef {object} Event
 * @property {string} id
 * @property {string} event its name, such as `user.deleted`
 * @property {Record<string, unknown>} data
 * @property {string} created_at
 */

export class Webhooks {
  #endpoint;
  #now;

  /**
   * @param {object} options
   * @param {() => Endpoint | null} options.endpoint
   * @param {() => number} options.now milliseconds
   */
  constructor({ endpoint, now }) {
    this.#endpoint = endpoint;
    this.#now = now;
  }

  /**
   * @param {string} name
   * @param {Record<string, unknown>} data
   * @returns {Event}
   */
  event(name, data) {
    const now = this.#now();
    return { id: newId('event', now), event: name, data, created_at: new Date(now).toISOString() };
  }

  /**
   * Sends an event once, signed anew. WorkOS would try again, by and by, until the answer is 2xx.
   *
   * @param {Event} event
   * @returns {Promise<Response | null>} the answer; nothing where there is no endpoint
   */
  async deliver(event) {
    const endpoint = this.#endpoint();
    if (!endpoint) return null;
    const body = JSON.stringify(event);
    const time = this.#now();
    const signature = createHmac('sha256', endpoint.secret).update(`${time}.${body}`).digest('hex');
    const headers = { 'content-type': 'application/json', 'workos-signature': `t=${time}, v1=${signature}` };
    return fetch(loopbackUrl('webhook.url', endpoint.url), { method: 'POST', headers, body, redirect: 'manual' });
  }
}
