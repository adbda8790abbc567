/**
 * Reads the runtime's objects for Rust, each in one call: calls between Rust and JavaScript cost, and iterators
 * of the runtime's objects most of all. The functions take no decisions.
 */

const encoder = new TextEncoder();

/**
 * Method, URL, and each header's name and value, a line each: none of them contains a line break. The result is
 * UTF-8, because bytes cross to Rust faster than a string.
 *
 * @param {Request} request
 */
export function requestHead(request) {
  let head = `${request.method}\n${request.url}`;
  request.headers.forEach((value, name) => {
    head += `\n${name}\n${value}`;
  });
  return encoder.encode(head);
}

/**
 * Formatters by time zone: making one takes 0.3 ms, and most visitors of a location share a zone.
 *
 * @type {Map<string, Intl.DateTimeFormat>}
 */
const calendars = new Map();
/** Beyond this number all are dropped: ICU keeps some kilobytes for each. */
const CALENDARS_MAX = 16;

/**
 * The calendar date at `millis` in the visitor's time zone, as a number (20261123); 0 when the runtime gives no
 * time zone, or one that `Intl` does not know. It is a call of its own because `cf` and `Intl` cost, and only
 * pages need the date.
 *
 * @param {Request} request
 * @param {number} millis
 */
export function visitorDate(request, millis) {
  const timeZone = request.cf?.timezone;
  if (typeof timeZone !== 'string') return 0;
  try {
    let calendar = calendars.get(timeZone);
    if (!calendar) {
      calendar = new Intl.DateTimeFormat('en-u-ca-gregory-nu-latn', {
        timeZone,
        year: 'numeric',
        month: 'numeric',
        day: 'numeric',
      });
      if (calendars.size >= CALENDARS_MAX) calendars.clear();
      calendars.set(timeZone, calendar);
    }
    const parts = Object.fromEntries(calendar.formatToParts(millis).map(({ type, value }) => [type, Number(value)]));
    return parts.year * 10_000 + parts.month * 100 + parts.day;
  } catch {
    return 0;
  }
}

/** @param {unknown} value */
export function jsonBytes(value) {
  return encoder.encode(JSON.stringify(value));
}

/** A body whose `Content-Length` is at most this crosses to Rust in one piece. No handler reads more. */
const WHOLE_MAX_BYTES = 256 * 1024;
/** The most of an unused body that is read and discarded; it takes 4 ms of CPU. */
const REST_MAX_BYTES = 1024 * 1024;
/** The longest that a response waits for an unused body. */
const REST_MAX_MS = 1_000;

/**
 * A request's body, which stays untouched until a handler reads it. A body that is cancelled, or not read to
 * its end, breaks its connection, and under `wrangler dev` other requests too. So the rest of the body is read
 * and discarded before the response is sent.
 */
export class RequestBody {
  #request;
  /** @type {ReadableStreamDefaultReader<Uint8Array> | undefined} */
  #reader;
  #readBytes = 0;
  #isAtEnd = false;
  /** The read under way, which the code that began it may no longer wait for. @type {Promise<unknown>} */
  #reading = Promise.resolve();

  /** @param {Request} request */
  constructor(request) {
    this.#request = request;
    const length = request.headers.get('content-length');
    /** The `Content-Length`, if there is one. @type {number | undefined} */
    this.length = length === null ? undefined : Number(length);
  }

  /** The next part; `undefined` at the end. @returns {Promise<Uint8Array | undefined>} */
  read() {
    const part = this.#next();
    // A failure means that the client has disconnected: nothing more can be read.
    this.#reading = part.catch(() => (this.#isAtEnd = true));
    return part;
  }

  async #next() {
    if (this.#isAtEnd) return undefined;
    if (this.length !== undefined && this.length <= WHOLE_MAX_BYTES) {
      const whole = new Uint8Array(await this.#request.arrayBuffer());
      this.#isAtEnd = true;
      return whole;
    }
    this.#reader ??= this.#request.body?.getReader();
    const { done, value } = (await this.#reader?.read()) ?? { done: true };
    this.#isAtEnd ||= done;
    this.#readBytes += value?.byteLength ?? 0;
    return value;
  }

  /**
   * Reads the rest and discards it. A body whose `Content-Length` is too long for that stays as it is: the
   * runtime handles one that is untouched.
   *
   * @param {ExecutionContext} context keeps reading a slow client's body while the response is sent
   * @returns {Promise<void> | undefined} `undefined` when nothing is left
   */
  readRest(context) {
    const isUntouched = this.#request.body !== null && !this.#request.bodyUsed;
    const isTooLong = this.length !== undefined && this.length > REST_MAX_BYTES;
    if (this.#isAtEnd || this.#request.body === null || (isUntouched && isTooLong)) return undefined;
    const rest = this.#discard();
    context.waitUntil(rest);
    return Promise.race([rest, scheduler.wait(REST_MAX_MS)]);
  }

  async #discard() {
    await this.#reading;
    while (!this.#isAtEnd && this.#readBytes < REST_MAX_BYTES) {
      void this.read();
      await this.#reading;
    }
  }
}

/**
 * Sends a message to a Durable Object, by a stub for this message alone.
 *
 * @param {DurableObjectNamespace} namespace
 * @param {string} name
 * @param {string} message
 * @returns {Promise<Uint8Array | number>} the response, or its status where that is not 200
 */
export async function sendToObject(namespace, name, message) {
  const response = await namespace.getByName(name).fetch('http://object/', { method: 'POST', body: message });
  const body = new Uint8Array(await response.arrayBuffer());
  return response.status === 200 ? body : response.status;
}

/** The message to an object, which `sendToObject` sent. @param {Request} request */
export async function objectMessage(request) {
  return new Uint8Array(await request.arrayBuffer());
}

/** Fails the events that are under way. @type {Set<(error: Error) => void>} */
const underWay = new Set();

/** @param {Event & { error?: unknown }} event */
function failAll({ error }) {
  if (!(error instanceof WebAssembly.RuntimeError)) return;
  for (const fail of underWay) fail(new Error('the isolate was reset after a panic'));
  underWay.clear();
}

/**
 * The global scope, whose types leave out this event. Node, where unit tests run, has no events.
 *
 * @type {{ addEventListener?: Function }}
 */
const scope = globalThis;
scope.addEventListener?.('error', failAll);

/**
 * An event of an object, which a panic in its isolate fails too: no promise of the module settles after that, and the
 * runtime would wait for ever.
 *
 * @param {Promise<unknown>} event
 */
export function untilPanic(event) {
  return new Promise((resolve, reject) => {
    underWay.add(reject);
    event.then(resolve, reject).finally(() => underWay.delete(reject));
  });
}

/** The rows of an object as JSON, in order. @param {SyncKvStorage} rows @param {string} prefix */
export function objectRows(rows, prefix) {
  return jsonBytes([...rows.list({ prefix })]);
}

/**
 * Sets the alarm of an object, or deletes it. The promise needs no wait: a write takes effect at once, and one that
 * cannot be made durable resets the object, with no response to anything that depends on it.
 *
 * @param {DurableObjectStorage} storage
 * @param {number | undefined} at milliseconds since 1970
 */
export function setObjectAlarm(storage, at) {
  (at === undefined ? storage.deleteAlarm() : storage.setAlarm(at)).catch(() => {});
}

/** Deletes the rows of an object and its alarm, at every compatibility date. @param {DurableObjectStorage} storage */
export function deleteObjectRows(storage) {
  storage.deleteAlarm().catch(() => {});
  storage.deleteAll().catch(() => {});
}

/** @param {RateLimit} limit @param {string} key */
export async function rateLimitAllows(limit, key) {
  return (await limit.limit({ key })).success;
}
