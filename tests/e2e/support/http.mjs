/**
 * One HTTP request as it is on the wire. Node's `fetch` is not used: it adds `Sec-Fetch-Mode` and
 * `Accept` of its own, and these tests check the headers of each sender.
 */

import http from 'node:http';
import https from 'node:https';

const LOOPBACK_HOSTS = new Set(['localhost', '127.0.0.1', '[::1]']);
const TIMEOUT_MS = 15_000;
/** Chromium's limit: Node's own would not take a large session. */
const MAX_HEADER_BYTES = 256 * 1024;

/**
 * @typedef {object} Outgoing
 * @property {string} [method] default GET
 * @property {string | URL} url
 * @property {Record<string, string | string[] | undefined>} [headers]
 * @property {string | Buffer} [body]
 * @property {boolean} [chunked] send the body without saying how long it is
 * @property {AbortSignal} [signal] breaks the connection off
 */

/** What came back. */
export class Answer {
  /**
   * @param {{ method: string, url: URL }} request
   * @param {number} status
   * @param {import('node:http').IncomingHttpHeaders} headers
   * @param {string} text
   */
  constructor(request, status, headers, text) {
    this.request = request;
    this.status = status;
    /**
     * By lower-case name. Only `Set-Cookie` comes as a list, which `setCookies` has.
     *
     * @type {Record<string, string | undefined>}
     */
    this.headers = Object.fromEntries(Object.entries(headers).map(([name, value]) => [name, value?.toString()]));
    this.text = text;
    /** @type {string[]} */
    this.setCookies = headers['set-cookie'] ?? [];
  }

  /** The body, which must be JSON and say so. */
  get json() {
    const type = this.headers['content-type'] ?? '';
    if (!/^application\/(.+\+)?json\b/.test(type))
      throw new Error(`${this} is not JSON but ${type || 'without a type'}`);
    return JSON.parse(this.text);
  }

  /** The value of a header, which must be there. @param {string} name in lower case */
  header(name) {
    const value = this.headers[name];
    if (value === undefined) throw new Error(`${this} has no ${name}`);
    return value;
  }

  /** `Location`, resolved. @returns {URL} */
  get location() {
    return new URL(this.header('location'), this.request.url);
  }

  /**
   * The last `Set-Cookie` of that name, taken apart.
   *
   * @param {string} name
   * @returns {{ value: string, attributes: Record<string, string | true> } | undefined}
   */
  setCookie(name) {
    const line = this.setCookies.findLast((cookie) => cookie.startsWith(`${name}=`));
    if (line === undefined) return undefined;
    const [pair, ...attributes] = line.split(';').map((part) => part.trim());
    return {
      value: pair.slice(name.length + 1),
      attributes: Object.fromEntries(
        attributes.map((attribute) => {
          const [key, ...value] = attribute.split('=');
          return [key.toLowerCase(), value.length === 0 ? true : value.join('=')];
        }),
      ),
    };
  }

  toString() {
    return `${this.request.method} ${this.request.url.pathname} → ${this.status} ${this.text.slice(0, 300)}`;
  }
}

/**
 * @param {Outgoing} outgoing
 * @returns {Promise<Answer>}
 */
export function send({ method = 'GET', url, headers = {}, body, chunked = false, signal }) {
  const target = new URL(url);
  // A redirect that leads elsewhere fails the test, and goes nowhere.
  if (!LOOPBACK_HOSTS.has(target.hostname)) throw new Error(`${target.origin} is not on this computer`);
  const { request } = target.protocol === 'https:' ? https : http;
  const given = Object.entries(headers).filter(([, value]) => value !== undefined);
  const length = body === undefined || chunked ? [] : [['content-length', String(Buffer.byteLength(body))]];

  return new Promise((resolve, reject) => {
    const sent = request(target, {
      method,
      headers: Object.fromEntries([...length, ...given]),
      agent: false,
      maxHeaderSize: MAX_HEADER_BYTES,
      timeout: TIMEOUT_MS,
      // `localhost` is this computer whatever the resolver says (RFC 6761, section 6.3).
      lookup: (_, { all }, done) =>
        all ? done(null, [{ address: '127.0.0.1', family: 4 }]) : done(null, '127.0.0.1', 4),
      // Miniflare's certificate is its own.
      rejectUnauthorized: false,
    });
    sent.once('error', reject);
    // Reset, not closed: a server cannot tell a client that has gone from one that only has no more to say.
    signal?.addEventListener('abort', () => {
      reject(signal.reason);
      sent.socket?.resetAndDestroy();
    });
    sent.once('timeout', () =>
      sent.destroy(new Error(`${method} ${target.pathname}: no answer within ${TIMEOUT_MS} ms`)),
    );
    sent.once('response', async (response) => {
      try {
        const chunks = [];
        for await (const chunk of response) chunks.push(chunk);
        resolve(
          new Answer(
            { method, url: target },
            response.statusCode ?? 0,
            response.headers,
            Buffer.concat(chunks).toString(),
          ),
        );
      } catch (error) {
        reject(error);
      }
    });
    // Without `end(body)`, Node does not know the length and sends chunks.
    if (chunked) sent.write(body);
    sent.end(chunked ? undefined : body);
  });
}
