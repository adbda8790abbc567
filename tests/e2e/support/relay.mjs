/** Stands between a Worker and AuthKit: sees the bodies that are sent, and holds answers back. */

import { once } from 'node:events';
import { createServer } from 'node:http';
import { after } from 'node:test';
import { setTimeout as pause } from 'node:timers/promises';

import { send } from './http.mjs';
import { portOf } from './values.mjs';

/** Headers that are about one connection, and are made anew for the next (RFC 9110, section 7.6.1). */
const HOP_BY_HOP = ['host', 'connection', 'keep-alive', 'transfer-encoding', 'content-length'];

/**
 * @param {string} authkitUrl
 * @returns {Promise<Relay>}
 */
export async function startRelay(authkitUrl) {
  const server = createServer();
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const relay = new Relay(authkitUrl, `http://127.0.0.1:${portOf(server)}`);
  server.on('request', (request, response) => relay.forward(request, response));
  after(() => {
    server.closeAllConnections();
    server.close();
  });
  return relay;
}

class Relay {
  /** @type {unknown[]} the JSON that has been sent */
  bodies = [];
  /** How long answers that are good are kept back. What AuthKit has done by then is done. */
  delayMs = 0;
  #authkitUrl;

  /** @param {string} authkitUrl @param {string} url the address that takes the place of AuthKit's */
  constructor(authkitUrl, url) {
    this.url = url;
    this.#authkitUrl = authkitUrl;
  }

  /** @param {import('node:http').IncomingMessage} request @param {import('node:http').ServerResponse} response */
  async forward(request, response) {
    const chunks = [];
    for await (const chunk of request) chunks.push(chunk);
    const body = Buffer.concat(chunks);
    const headers = without(HOP_BY_HOP, request.headers);
    if (request.headers['content-type']?.startsWith('application/json'))
      this.bodies.push(JSON.parse(body.toString() || 'null'));
    const answer = await send({
      method: request.method,
      url: this.#authkitUrl + request.url,
      headers,
      body: body.length > 0 ? body : undefined,
    });
    if (this.delayMs > 0 && answer.status === 200) await pause(this.delayMs);
    const passedOn = { ...without(HOP_BY_HOP, answer.headers), 'set-cookie': answer.setCookies };
    response.writeHead(answer.status, passedOn).end(answer.text);
  }
}

/** @param {string[]} names @param {Record<string, string | string[] | undefined>} headers */
function without(names, headers) {
  return Object.fromEntries(Object.entries(headers).filter(([name]) => !names.includes(name)));
}
