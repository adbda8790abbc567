/**
 * Senders of requests. All of them have `request(method, path, options)`, which sends one request
 * and follows nothing: `Anonymous` as curl does, `Bearer` with a token, `Browser` as the script of
 * one of the Worker's own pages. A `Browser` also navigates.
 */

import { CookieJar } from 'tough-cookie';

import { formsOf } from './html.mjs';
import { send } from './http.mjs';

/** Browsers drop a longer cookie without a word (RFC 6265bis, section 5.6). */
const COOKIE_MAX_BYTES = 4096;
/** Chromium's limit. */
const MAX_REDIRECTS = 20;

const CURL_HEADERS = { 'user-agent': 'curl/8.5.0', accept: '*/*' };
export const BROWSER_USER_AGENT = 'Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0';
const NAVIGATION_HEADERS = {
  'user-agent': BROWSER_USER_AGENT,
  accept: 'text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8',
  'upgrade-insecure-requests': '1',
  'sec-fetch-mode': 'navigate',
  'sec-fetch-dest': 'document',
};

/** @typedef {import('./http.mjs').Answer} Answer */

/**
 * @typedef {object} ActorOptions
 * @property {string} origin the Worker's
 * @property {(answer: Answer) => void} record gets every response
 */

/** How a cookie's SameSite attribute sees a request. @typedef {'strict' | 'lax' | 'none'} SameSiteContext */

/**
 * @typedef {object} RequestOptions
 * @property {unknown} [json] a body, sent as JSON
 * @property {string | Buffer} [body] any other body
 * @property {boolean} [chunked]
 * @property {AbortSignal} [signal] the client goes away
 * @property {Record<string, string | undefined>} [headers]
 */

/** A sender of requests. */
export class Actor {
  /** @param {ActorOptions} options */
  constructor({ origin, record }) {
    this.origin = origin;
    this.record = record;
  }

  /**
   * @param {string} _method
   * @returns {Record<string, string | undefined>} what this actor sends with every request
   */
  headers(_method) {
    return CURL_HEADERS;
  }

  /**
   * @param {string} method
   * @param {string} path
   * @param {RequestOptions} [options]
   */
  async request(method, path, { json, body, chunked, signal, headers = {} } = {}) {
    const answer = await send({
      method,
      url: this.origin + path,
      headers: {
        ...this.headers(method),
        ...(json === undefined ? {} : { 'content-type': 'application/json' }),
        ...headers,
      },
      body: json === undefined ? body : JSON.stringify(json),
      chunked,
      signal,
    });
    this.record(answer);
    return answer;
  }
}

/** curl without a cookie or a token. */
export class Anonymous extends Actor {}

/** A program with an access token. */
export class Bearer extends Actor {
  #token;

  /** @param {ActorOptions & { token: string }} options */
  constructor({ token, ...options }) {
    super(options);
    this.#token = token;
  }

  /** @override */
  headers() {
    return { ...CURL_HEADERS, authorization: `Bearer ${this.#token}` };
  }
}

/** A browser: a cookie jar with a browser's rules, redirects, pages and forms. */
export class Browser extends Actor {
  /** @type {string[]} names of cookies that were too long to keep */
  droppedCookies = [];
  #jar;
  #keepsCookies;

  /** @param {ActorOptions & { keepsCookies?: boolean }} options */
  constructor({ keepsCookies = true, ...options }) {
    super(options);
    this.#keepsCookies = keepsCookies;
    // Not every browser sends a `Secure` cookie to http://localhost: this one does not.
    this.#jar = new CookieJar(undefined, { allowSecureOnLocal: false });
  }

  /**
   * The same browser, whose requests another isolate answers: one jar, because cookies know no ports.
   *
   * @param {{ origin: string }} isolate
   */
  at({ origin }) {
    const browser = new Browser({ origin, record: this.record, keepsCookies: this.#keepsCookies });
    browser.#jar = this.#jar;
    browser.droppedCookies = this.droppedCookies;
    return browser;
  }

  /** Another browser that has this one's cookies, as they are now. */
  twin() {
    const browser = new Browser({ origin: this.origin, record: this.record, keepsCookies: this.#keepsCookies });
    const jar = this.#jar.cloneSync();
    if (!jar) throw new Error('the cookie jar cannot be copied');
    browser.#jar = jar;
    return browser;
  }

  /**
   * Sends a request as the script of one of the Worker's pages.
   *
   * @override
   * @param {string} method
   * @param {string} path
   * @param {RequestOptions} [options]
   */
  async request(method, path, { headers = {}, ...options } = {}) {
    const url = this.origin + path;
    const answer = await super.request(method, path, {
      ...options,
      headers: {
        'user-agent': BROWSER_USER_AGENT,
        'sec-fetch-site': 'same-origin',
        'sec-fetch-mode': 'cors',
        'sec-fetch-dest': 'empty',
        origin: method === 'GET' || method === 'HEAD' ? undefined : this.origin,
        cookie: this.cookieHeader(url, 'strict'),
        ...headers,
      },
    });
    this.#keep(answer, 'strict');
    return answer;
  }

  /**
   * Goes to an address as if it were typed, or as if a page of `from` linked to it, and follows
   * redirects to the end.
   *
   * @param {string | URL} pathOrUrl
   * @param {{ from?: string, until?: (url: URL) => boolean }} [options] `until`: stop before this address
   */
  open(pathOrUrl, { from, until } = {}) {
    return this.#navigate('GET', new URL(pathOrUrl, this.origin), undefined, from, until);
  }

  /**
   * Sends a page's form with one of its buttons, which is known by its text.
   *
   * @param {Page} page
   * @param {string} button
   * @param {{ fill?: Record<string, string>, until?: (url: URL) => boolean }} [options]
   */
  submit(page, button, { fill = {}, until } = {}) {
    const forms = formsOf(page.text);
    const isIt = (/** @type {{ text: string }} */ { text }) => text.includes(button);
    const form = forms.find(({ buttons }) => buttons.some(isIt));
    const pressed = form?.buttons.find(isIt);
    if (!form || !pressed) throw new Error(`no form with a button "${button}" in ${page}`);
    const { name, value } = pressed;
    const fields = new URLSearchParams({ ...form.fields, ...fill });
    if (name) fields.set(name, value ?? '');
    const action = new URL(form.action ?? '', page.url);
    if (form.method === 'post') return this.#navigate('POST', action, fields.toString(), page.url.origin, until);
    action.search = fields.toString();
    return this.#navigate('GET', action, undefined, page.url.origin, until);
  }

  /**
   * Signs in on AuthKit's page, as often as a person would have to: once, or not at all where
   * AuthKit still knows this browser.
   *
   * @param {'Ada' | 'Grace'} name
   * @param {string} [path] where the sign-in begins
   * @returns {Promise<Page>} where it ends
   */
  async signIn(name, path = '/login?return_to=/me') {
    const page = await this.open(path);
    return page.url.origin === this.origin ? page : this.submit(page, name);
  }

  /** @param {string} url @param {SameSiteContext} [context] */
  cookieHeader(url, context = 'strict') {
    return this.#jar.getCookieStringSync(url, { sameSiteContext: context }) || undefined;
  }

  /** The cookies that would be sent to a path of the Worker's. @returns {Map<string, string>} */
  cookies(path = '/') {
    return new Map(this.#jar.getCookiesSync(this.origin + path).map(({ key, value }) => [key, value]));
  }

  /** Puts a cookie into the jar by hand, as an attacker with the browser's owner's help would. @param {string} line a `Set-Cookie` header's value */
  plantCookie(line) {
    this.#jar.setCookieSync(line, this.origin);
  }

  /**
   * @param {string} startMethod
   * @param {URL} startUrl
   * @param {string | undefined} startForm the body
   * @param {string | undefined} initiator the origin of the page that starts the navigation
   * @param {((url: URL) => boolean) | undefined} until
   */
  async #navigate(startMethod, startUrl, startForm, initiator, until) {
    let [method, url, form] = [startMethod, startUrl, startForm];
    /** @type {Answer[]} */
    const hops = [];
    // Of all the hops so far the one farthest from where the navigation began.
    let site = initiator === undefined ? 'none' : 'same-origin';
    for (;;) {
      if (initiator !== undefined) site = farther(site, siteOf(initiator, url));
      const context = site !== 'cross-site' ? 'strict' : method === 'GET' ? 'lax' : 'none';
      const answer = await send({
        method,
        url,
        headers: {
          ...NAVIGATION_HEADERS,
          'sec-fetch-site': site,
          'sec-fetch-user': '?1',
          origin: method === 'GET' ? undefined : initiator,
          'content-type': form === undefined ? undefined : 'application/x-www-form-urlencoded',
          cookie: this.cookieHeader(url.href, context),
        },
        body: form,
      });
      hops.push(answer);
      if (url.origin === this.origin) this.record(answer);
      this.#keep(answer, context);
      if (![301, 302, 303, 307, 308].includes(answer.status)) return new Page(answer, hops);
      if (hops.length > MAX_REDIRECTS) throw new Error(`redirected too often: ${hops.slice(-4).join(' | ')}`);
      url = answer.location;
      if (answer.status === 303 || (method === 'POST' && answer.status < 303)) [method, form] = ['GET', undefined];
      if (until?.(url)) return new Page(answer, hops);
    }
  }

  /** @param {Answer} answer @param {SameSiteContext} context */
  #keep(answer, context) {
    for (const line of this.#keepsCookies ? answer.setCookies : []) {
      if (Buffer.byteLength(line) > COOKIE_MAX_BYTES) this.droppedCookies.push(line.split('=')[0]);
      else this.#jar.setCookieSync(line, answer.request.url.href, { sameSiteContext: context, ignoreError: true });
    }
  }
}

/** Where a navigation has ended, and how it came there. */
export class Page {
  /** @param {Answer} answer @param {Answer[]} hops */
  constructor(answer, hops) {
    this.answer = answer;
    this.hops = hops;
    this.url = answer.request.url;
    this.status = answer.status;
    this.text = answer.text;
  }

  /** The hops to that path. @param {string} path */
  to(path) {
    return this.hops.filter(({ request }) => request.url.pathname === path);
  }

  /** The address it was redirected to, where the browser was told not to go. */
  get next() {
    return this.answer.location;
  }

  toString() {
    return this.hops.join(' | ');
  }
}

const DISTANCES = ['none', 'same-origin', 'same-site', 'cross-site'];

/** @param {string} a @param {string} b */
function farther(a, b) {
  return DISTANCES.indexOf(a) > DISTANCES.indexOf(b) ? a : b;
}

/** @param {string} initiator an origin @param {URL} url */
function siteOf(initiator, url) {
  if (initiator === url.origin) return 'same-origin';
  const from = new URL(initiator);
  return from.hostname === url.hostname && from.protocol === url.protocol ? 'same-site' : 'cross-site';
}
