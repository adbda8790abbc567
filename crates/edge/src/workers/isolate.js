/**
 * The JavaScript half of a Worker. It takes events from the runtime, calls into the module, and starts the runtime's
 * operations for it. The two halves exchange numbers and text: text for the module stands in its inbox, a part of its
 * memory, and is encoded there directly. Calls from JavaScript go by function pointers, which costs nothing but the
 * call. It takes no decisions.
 *
 * A panic leaves the module's memory in an unknown state, and so does a call into the module that the runtime ends
 * midway, because it takes too much CPU time. Every event under way then fails, and the next one starts a new instance
 * of the module.
 *
 * A client may leave while its request is under way. The runtime then cancels what the request waits for, without a
 * word: promises of a cancelled context never settle. So a request runs to its end by `waitUntil()`, a stream is
 * dropped by the request's signal or when the runtime has dropped it, and what the runtime cancels all the same is
 * dropped some time later.
 */

const encoder = new TextEncoder();

/** @typedef {(...numbers: number[]) => number} Pointer a function of the module, by its place in the module's table */

/**
 * What the module hands over when it starts.
 *
 * @typedef {object} Module
 * @property {WebAssembly.Memory} memory
 * @property {Pointer} prepare   builds the application with the environment of an event. Returns whether it is configured
 * @property {Pointer} receive   a request: id, and the length of its head in the inbox. Returns its task, as the next two
 * @property {Pointer} message   a message to an object: id, instance, length
 * @property {Pointer} alarm     an alarm: id, instance, retries
 * @property {Pointer} settle    the outcome of an operation: waiter, kind, length
 * @property {Pointer} run       polls the tasks that can go on
 * @property {Pointer} abandon   drops a task
 * @property {Pointer} current   the task that is polled, or was last
 * @property {Pointer} pull      asks for the next part of a stream
 * @property {Pointer} cancel    drops a stream
 * @property {Pointer} renewInbox makes an inbox of so many bytes, and returns its address
 * @property {Pointer} live      the number of items of one kind, see {@link LIVE}
 */

/** @type {Module} */
let module;
/** The number of the module's instance: an outcome for an earlier one is dropped. */
let instance = 0;
/** Whether the application is built. */
let isPrepared = false;
/** Whether the instance has panicked. */
let hasPanicked = false;
/** Whether a call into the module is under way. Still true at the next one when the runtime ended the call midway. */
let isInside = false;
/** The event for which the module runs, where one is known: operations begin in its context. @type {Call | undefined} */
let currentEvent;
/** A view of the module's inbox, which is empty when the memory has moved. */
let inbox = new Uint8Array(0);

/** The inbox is reused up to this size. A larger one becomes the module's own with the text that it holds. */
const INBOX_BYTES = 64 * 1024;

/**
 * Called by the module when it starts.
 *
 * @param {WebAssembly.Memory} memory
 * @param {WebAssembly.Table} table
 * @param {Uint32Array} pointers in the order of {@link Module}
 */
export function connect(memory, table, pointers) {
  const [prepare, receive, message, alarm, settle, run, abandon, current, pull, cancel, renewInbox, live] = Array.from(
    pointers,
    (at) => table.get(at),
  );
  module = { memory, prepare, receive, message, alarm, settle, run, abandon, current, pull, cancel, renewInbox, live };
  instance += 1;
  hasPanicked = false;
  isInside = false;
  currentEvent = undefined;
  inbox = new Uint8Array(0);
  headerNames = undefined;
  isPrepared = false;
}

// --- text for the module ---------------------------------------------------------------------------

/** @param {number} bytes */
function makeRoom(bytes) {
  // A view without bytes may be one whose memory has moved: to write even nothing to it is an error.
  if (inbox.byteLength >= Math.max(bytes, 1)) return;
  const size = Math.max(bytes, INBOX_BYTES);
  // Before the buffer is read: the memory may grow, which makes a new one.
  const address = module.renewInbox(size) >>> 0;
  inbox = new Uint8Array(module.memory.buffer, address, size);
}

/** Writes text to the inbox. @param {string} text @returns {number} the number of bytes */
export function toInbox(text) {
  // A UTF-16 unit takes at most three bytes.
  if (text.length * 3 > INBOX_BYTES) return bytesToInbox(encoder.encode(text));
  makeRoom(text.length * 3);
  return encoder.encodeInto(text, inbox).written;
}

/** @param {Uint8Array} bytes @returns {number} their number */
export function bytesToInbox(bytes) {
  makeRoom(bytes.length);
  inbox.set(bytes);
  // The module keeps an inbox of this size instead of copying it.
  if (inbox.byteLength > INBOX_BYTES) inbox = new Uint8Array(0);
  return bytes.length;
}

// --- events ----------------------------------------------------------------------------------------

/**
 * An event under way: a request, a message to an object or an alarm.
 *
 * @typedef {object} Call
 * @property {Request} [request]
 * @property {ExecutionContext | DurableObjectState} [context]
 * @property {unknown} [env]
 * @property {RequestBody} [body]
 * @property {unknown} response         once the module has responded
 * @property {boolean} hasResponse
 * @property {(response: any) => void} [resolve] where the event waits for it
 * @property {(error: Error) => void} [reject]
 * @property {number} [task]            of the module
 * @property {number} [began]           milliseconds since 1970
 * @property {TimeLimits} [limits]      of its operations
 */

/** The events under way, by their ids, the oldest first. @type {Map<number, Call>} */
const calls = new Map();
let lastId = 0;

/**
 * Hands an event to the module.
 *
 * @param {Call} call
 * @param {(id: number) => number} begin calls into the module, and returns the task
 * @returns the response, or a promise for it
 */
export function open(call, begin) {
  lastId = (lastId + 1) >>> 0;
  const id = lastId;
  calls.set(id, call);
  if (lostStreams.length > 0) cancelLost();
  if (id % EVENTS_PER_LOOK === 0) abandonOverdue();
  enter(() => (call.task = begin(id)), call);
  if (hasPanicked) throw resetError();
  if (call.hasResponse) return call.response;
  call.began = Date.now();
  const response = new Promise((resolve, reject) => {
    call.resolve = resolve;
    call.reject = reject;
  });
  if (!call.context) return response;
  const answer = response.catch(answerReset);
  // A request whose client leaves runs to its end: its writes complete, and its task ends.
  // https://developers.cloudflare.com/workers/runtime-apis/context/#waituntil
  call.context.waitUntil(answer);
  return answer;
}

/**
 * After this time the runtime has cancelled an event that has no end: it gives an alarm 15 minutes, and `waitUntil()`
 * 30 seconds after the response is sent or the client has left. No client waits so long for a response either.
 */
const EVENT_MAX_MS = 20 * 60 * 1_000;
/** One event in so many looks for overdue ones. */
const EVENTS_PER_LOOK = 64;

/** Drops the events and the work in the background that cannot end any more. */
function abandonOverdue() {
  const before = Date.now() - EVENT_MAX_MS;
  for (const [id, { began, task, reject }] of calls) {
    // A call without a time has its response, and is about to end.
    if (began === undefined) continue;
    if (began > before) break;
    calls.delete(id);
    reject?.(new Error('the event took too long'));
    enter(() => module.abandon(/** @type {number} */ (task)));
  }
  for (const [work, { began, end }] of background) {
    if (began > before) break;
    background.delete(work);
    end();
    enter(() => module.abandon(work));
  }
}

/** @param {Call} call @param {unknown} response */
function respondTo(call, response) {
  if (call.resolve) return call.resolve(response);
  call.response = response;
  call.hasResponse = true;
}

/** The module has no more use for an event. @param {number} id */
export function close(id) {
  calls.delete(id);
}

/**
 * An exception that leaves the module is a panic, or as bad as one. The event that panicked fails, and its client gets
 * 500. The others are told to come back: nothing is known to be wrong with them.
 *
 * @param {unknown} error
 */
function panicked(error) {
  isInside = false;
  if (hasPanicked) return;
  hasPanicked = true;
  // An exception of this half has no other trace.
  console.error(error);
  const culprit = module.current() >>> 0;
  for (const { task, reject } of calls.values()) reject?.(task === culprit ? resetError() : OTHERS_PANIC);
  for (const { controller, resolve } of pulls.values()) {
    controller.error(resetError());
    resolve();
  }
  for (const { end } of background.values()) end();
  for (const table of [calls, pulls, background, timers]) table.clear();
  afterPanic(error);
}

/** What the body of a response that an instance has not finished says. */
const RESET_DETAIL =
  'The server has restarted. The request may have taken effect. Send it again; if it creates something, with its Idempotency-Key.';

/** The error of events that another one's panic has ended. */
const OTHERS_PANIC = resetError();

/** Responds to a request, in its own context: no other can make its response. @param {unknown} error */
function answerReset(error) {
  if (error !== OTHERS_PANIC) throw error;
  return Response.json(
    { detail: RESET_DETAIL },
    { status: 503, headers: { 'retry-after': '1', 'cache-control': 'no-store' } },
  );
}

function resetError() {
  return new Error('the isolate was reset after a panic');
}

/** worker-build's entry learns of a panic by the event of an uncaught exception. @param {unknown} error */
let afterPanic = (error) => {
  queueMicrotask(() => {
    throw error;
  });
};

/** Calls into the module. @param {() => void} call @param {Call} [event] for which it runs */
function enter(call, event) {
  if (!isUsable(instance)) return;
  isInside = true;
  currentEvent = event;
  try {
    call();
  } catch (error) {
    panicked(error);
  }
  isInside = false;
  // A promise of other code may settle next, in the context of another event.
  currentEvent = undefined;
}

/** Whether an instance is the one that runs, and runs well. @param {number} began */
function isUsable(began) {
  // Calls are not nested: the last one was ended by the runtime, which runs no code of JavaScript's for that.
  if (isInside) panicked(new WebAssembly.RuntimeError('the runtime ended a call of the module'));
  return began === instance && !hasPanicked;
}

/** Starts a new instance where the last one cannot go on. @param {Exports} exports */
function restart(exports) {
  if (!isUsable(instance)) exports.__wbg_reset_state();
}

/** Builds the application. @param {number} id of an event */
function prepare(id) {
  if (isPrepared) return;
  const isConfigured = module.prepare(id) !== 0;
  isPrepared = isConfigured || id !== START;
}

/** The id of the isolate's start, which no other event has. */
const START = 0;

/**
 * Builds the application when the isolate starts, which no request waits for where the runtime starts isolates ahead
 * of them. There is no I/O, no randomness and no time then: the first request builds an application that panics without
 * them or is not configured, and every one where the compatibility flags keep the environment from modules.
 * https://developers.cloudflare.com/workers/runtime-apis/bindings/#importing-env-as-a-global
 *
 * @param {object} env
 */
function prepareAtStart(env) {
  if (Object.keys(env).length === 0) return;
  calls.set(START, { env, response: undefined, hasResponse: false });
  enter(() => prepare(START));
  calls.delete(START);
}

/**
 * Serves a request.
 *
 * @param {Request} request
 * @param {unknown} env
 * @param {ExecutionContext} context
 * @param {string} [method] of the request. The runtime makes a new text each time that it is asked
 * @param {string} [url]    as well
 * @returns {Response | Promise<Response>}
 */
export function serve(request, env, context, method = request.method, url = request.url) {
  const call = { request, env, context, response: undefined, hasResponse: false };
  const begin = (/** @type {number} */ id) => {
    prepare(id);
    return module.receive(id, headToInbox(method, url, request.headers));
  };
  return /** @type {Response} */ (open(call, begin));
}

/**
 * The headers that handlers read of a request without and with a body, where the application has named them.
 *
 * @type {{ always: string[], withBody: string[] } | undefined}
 */
let headerNames;

/** @param {string} always names, a line each @param {string} withBody */
export function nameHeaders(always, withBody) {
  const names = always.split('\n');
  headerNames = { always: names, withBody: [...names, ...withBody.split('\n')] };
}

/**
 * The head of a request as lines, which `request.rs` describes: no part of it contains a line break.
 *
 * @param {string} method
 * @param {string} url
 * @param {Headers} headers
 */
function headToInbox(method, url, headers) {
  let head = `${method}\n${url}`;
  if (headerNames === undefined) {
    headers.forEach((value, name) => {
      head += `\n${name}\n${value}`;
    });
    return toInbox(head);
  }
  const mayHaveBody = method !== 'GET' && method !== 'HEAD';
  for (const name of mayHaveBody ? headerNames.withBody : headerNames.always) {
    const value = headers.get(name);
    head += value === null ? '\n' : `\n=${value}`;
  }
  return toInbox(head);
}

/** The environment of an event. @param {number} id */
export function environment(id) {
  return calls.get(id)?.env;
}

/**
 * Work in the background, by its number, the oldest first: `end` says that it has ended.
 *
 * @type {Map<number, { began: number, end: () => void }>}
 */
const background = new Map();

/** Keeps the context of an event until the work has ended. @param {number} id @param {number} work */
export function keepEvent(id, work) {
  const context = calls.get(id)?.context;
  if (context) keepContext(context, work);
}

/** @param {ExecutionContext | DurableObjectState} context @param {number} work */
export function keepContext(context, work) {
  try {
    context.waitUntil(
      new Promise((/** @type {(value: void) => void} */ end) => background.set(work, { began: Date.now(), end })),
    );
  } catch {
    // The event is over: the work runs without its context.
  }
}

/** @param {number} work */
export function endWork(work) {
  background.get(work)?.end();
  background.delete(work);
}

/** The request of an event, for `visitor.js`. @param {number} id */
export function requestOf(id) {
  return calls.get(id)?.request;
}

// --- responses -------------------------------------------------------------------------------------

/** The sets of headers that the module has described, by their numbers. @type {Headers[]} */
const headerSets = [];

/**
 * Describes a set of headers that responses share.
 *
 * @param {number} set its number. The first one ends all earlier ones
 * @param {string} lines each header's name and value, a line each
 */
export function describeHeaders(set, lines) {
  if (set === 0) headerSets.length = 0;
  headerSets[set] = new Headers(pairsOf(lines));
}

/** @param {string} lines @returns {[string, string][]} */
function pairsOf(lines) {
  const parts = lines.split('\n');
  /** @type {[string, string][]} */
  const pairs = [];
  for (let at = 0; at + 1 < parts.length; at += 2) pairs.push([parts[at], parts[at + 1]]);
  return pairs;
}

/**
 * @param {BodyInit | null} body
 * @param {number} status
 * @param {number} set of headers
 * @param {string | undefined} own headers that no other response has
 */
function makeResponse(body, status, set, own) {
  const response = new Response(body, { status, headers: headerSets[set] });
  if (own !== undefined) for (const [name, value] of pairsOf(own)) response.headers.append(name, value);
  return response;
}

/** A copy: the runtime may read it after the module has reused the memory. @param {Uint8Array} view */
function copied(view) {
  // 204 and 304 may not have a body, not even an empty one.
  return view.length === 0 ? null : view.slice();
}

/**
 * Responds to a request.
 *
 * @param {number} id
 * @param {number} status
 * @param {number} set of headers
 * @param {string | undefined} own
 * @param {Uint8Array} body a view of the module's memory
 */
export function respond(id, status, set, own, body) {
  const call = calls.get(id);
  if (call) respondTo(call, makeResponse(copied(body), status, set, own));
}

/** The responses that the entry repeats, by URL. @type {Map<string, () => Response>} */
const repeated = new Map();
/** A URL has any query string: only so many are kept. */
const REPEATED_MAX = 16;

/**
 * Responds to a request, and from now on to every `GET` of its URL without a call of the module.
 *
 * @param {number} id
 * @param {number} status
 * @param {number} set of headers
 * @param {Uint8Array} body a view of the module's memory
 */
export function respondAlways(id, status, set, body) {
  const call = calls.get(id);
  if (!call) return;
  const [copy, headers] = [copied(body), headerSets[set]];
  const make = () => new Response(copy, { status, headers });
  const { method, url } = /** @type {Request} */ (call.request);
  if (method === 'GET' && repeated.size < REPEATED_MAX) repeated.set(url, make);
  respondTo(call, make());
}

/** The parts that clients wait for, by their streams. @type {Map<number, { controller: ReadableStreamDefaultController<Uint8Array>, resolve: () => void }>} */
const pulls = new Map();

/**
 * Responds to a request with a body whose parts the module makes when the client can receive them.
 *
 * @param {number} id
 * @param {number} status
 * @param {number} set of headers
 * @param {string | undefined} own
 * @param {number} stream
 */
export function respondWithStream(id, status, set, own, stream) {
  const call = calls.get(id);
  if (!call) return;
  const began = instance;
  const cancel = () => {
    if (!isUsable(began)) return;
    pulls.get(stream)?.resolve();
    pulls.delete(stream);
    enter(() => module.cancel(stream));
  };
  // The runtime drops the body of a client that has left without a call of `cancel`. It aborts the signal instead, but
  // not where it notices by a failed write.
  // https://developers.cloudflare.com/workers/configuration/compatibility-flags/#enable-requestsignal-for-incoming-requests
  const { signal } = /** @type {Request} */ (call.request);
  if (signal?.aborted) queueMicrotask(cancel);
  else signal?.addEventListener('abort', cancel);
  /** @type {UnderlyingSource<Uint8Array>} */
  const source = {
    pull(controller) {
      if (!isUsable(began)) return controller.error(resetError());
      return new Promise((/** @type {(value: void) => void} */ resolve) => {
        pulls.set(stream, { controller, resolve });
        enter(() => module.pull(stream));
      });
    },
    cancel,
  };
  // No part before the client can receive it: the runtime would ask for the first one at once, while the module runs.
  const body = new ReadableStream(source, { highWaterMark: 0 });
  collected.register(body, { stream, began });
  respondTo(call, makeResponse(body, status, set, own));
}

/** Streams whose bodies the runtime has dropped. @type {{ stream: number, began: number }[]} */
const lostStreams = [];
/** The callback runs in no event's context: the next event drops the streams. */
const collected = new FinalizationRegistry((/** @type {{ stream: number, began: number }} */ lost) => {
  lostStreams.push(lost);
});

function cancelLost() {
  for (const { stream, began } of lostStreams.splice(0)) if (isUsable(began)) enter(() => module.cancel(stream));
}

/** @param {number} stream @param {Uint8Array} part a view of the module's memory */
export function pushPart(stream, part) {
  endPull(stream, (controller) => controller.enqueue(part.slice()));
}

/** @param {number} stream @param {boolean} isWhole whether the stream has all of its parts */
export function endStream(stream, isWhole) {
  // The log has the cause; the runtime shows this message to no client.
  endPull(stream, (controller) =>
    isWhole ? controller.close() : controller.error(new Error('the response breaks off')),
  );
}

/** @param {number} stream @param {(controller: ReadableStreamDefaultController<Uint8Array>) => void} end */
function endPull(stream, end) {
  const pull = pulls.get(stream);
  if (!pull) return;
  pulls.delete(stream);
  end(pull.controller);
  pull.resolve();
}

/** Responds to a message or an alarm, which ends. @param {number} id @param {unknown} response */
export function respondWith(id, response) {
  const call = calls.get(id);
  calls.delete(id);
  if (call) respondTo(call, response);
}

/** A message or an alarm fails. @param {number} id @param {string} reason */
export function failCall(id, reason) {
  const call = calls.get(id);
  calls.delete(id);
  if (!call) return;
  if (call.reject) call.reject(new Error(reason));
  else respondTo(call, Promise.reject(new Error(reason)));
}

// --- operations of the runtime ---------------------------------------------------------------------

/** The outcomes of an operation, as in `operation.rs`. */
const TEXT = 0;
const NOTHING = 1;
const FAILED = 2;
const TIMED_OUT = 3;

/**
 * @param {number} began the instance that waits
 * @param {Call | undefined} event
 * @param {number} waiter
 * @param {number} kind
 * @param {() => number} [write]
 */
function settle(began, event, waiter, kind, write) {
  if (isUsable(began)) enter(() => module.settle(waiter, kind, write ? write() : 0), event);
}

/** Nearly every operation ends within this time. */
const LOOK_MS = 1_000;

/**
 * The time limits of one event's operations. A timer for each operation would be a tenth of what a request costs, so one
 * timer looks what is still under way after a second, and only that gets timers of its own.
 */
class TimeLimits {
  #event;
  #instance = instance;
  /** When the operations since the last look time out, in milliseconds since 1970. @type {Map<number, number>} */
  #begun = new Map();
  /** The timers of older operations, which are rare. @type {Map<number, number> | undefined} */
  #timers;
  /** @type {number | undefined} */
  #look;

  /** @param {Call | undefined} event */
  constructor(event) {
    this.#event = event;
  }

  /** @param {number} waiter @param {number} maxMillis */
  begin(waiter, maxMillis) {
    if (maxMillis <= LOOK_MS) return this.#start(waiter, maxMillis);
    this.#begun.set(waiter, Date.now() + maxMillis);
    this.#look ??= setTimeout(() => {
      this.#look = undefined;
      const now = Date.now();
      for (const [late, at] of this.#begun) this.#start(late, at - now);
      this.#begun.clear();
    }, LOOK_MS);
  }

  /** @param {number} waiter @param {number} millis */
  #start(waiter, millis) {
    this.#timers ??= new Map();
    this.#timers.set(waiter, setTimeout(settle, millis, this.#instance, this.#event, waiter, TIMED_OUT));
  }

  /** @param {number} waiter */
  end(waiter) {
    if (!this.#begun.delete(waiter)) {
      clearTimeout(this.#timers?.get(waiter) ?? null);
      this.#timers?.delete(waiter);
    }
    // The look of a request ends with its context. An object's context lasts, and a timer would keep it in memory.
    if (this.#look !== undefined && !this.#event?.context && this.#begun.size === 0) {
      clearTimeout(this.#look);
      this.#look = undefined;
    }
  }
}

/**
 * Starts an operation, whose outcome goes to a waiter.
 *
 * @template T
 * @param {number} waiter
 * @param {() => PromiseLike<T>} start
 * @param {(value: NonNullable<T>) => number} write writes the result to the inbox
 * @param {number} [maxMillis] the longest wait. It ends the wait, not the operation
 * @param {(error: any) => string} [reason] of a failure
 */
export function operate(waiter, start, write, maxMillis = 0, reason = messageOf) {
  const [began, event] = [instance, currentEvent];
  let promise;
  try {
    promise = start();
  } catch (error) {
    promise = Promise.reject(error);
  }
  const limits = maxMillis > 0 ? limitsOf(event) : undefined;
  limits?.begin(waiter, maxMillis);
  promise.then(
    (value) => {
      limits?.end(waiter);
      if (value === undefined || value === null) settle(began, event, waiter, NOTHING);
      else settle(began, event, waiter, TEXT, () => write(value));
    },
    (error) => {
      limits?.end(waiter);
      if (error?.name === 'TimeoutError') settle(began, event, waiter, TIMED_OUT);
      else settle(began, event, waiter, FAILED, () => toInbox(reason(error)));
    },
  );
}

/** @param {Call | undefined} event */
function limitsOf(event) {
  if (!event) return new TimeLimits(event);
  event.limits ??= new TimeLimits(event);
  return event.limits;
}

/** @param {any} error */
function messageOf(error) {
  return String(error?.message ?? '');
}

/** Has the module poll its tasks after the code that runs now. */
export function runSoon() {
  const [began, event] = [instance, currentEvent];
  queueMicrotask(() => {
    if (isUsable(began)) enter(() => module.run(), event);
  });
}

/** Timers, by their waiters. @type {Map<number, number>} */
const timers = new Map();

/** @param {number} waiter @param {number} millis */
export function startTimer(waiter, millis) {
  const [began, event] = [instance, currentEvent];
  const ring = () => {
    timers.delete(waiter);
    settle(began, event, waiter, NOTHING);
  };
  timers.set(waiter, setTimeout(ring, millis));
}

/** @param {number} waiter */
export function stopTimer(waiter) {
  clearTimeout(timers.get(waiter) ?? null);
  timers.delete(waiter);
}

// --- request bodies --------------------------------------------------------------------------------

/** A body whose `Content-Length` is at most this is read in one piece. No handler reads more. */
const WHOLE_MAX_BYTES = 256 * 1024;
/** The most of an unused body that is read and discarded; it takes 4 ms of CPU. */
const REST_MAX_BYTES = 1024 * 1024;
/** The longest that a response waits for an unused body. */
const REST_MAX_MS = 1_000;
/** The longest wait for a part of a body, which its client may never send. */
const PART_MAX_MS = 30_000;

/**
 * A request's body, which stays untouched until a handler reads it. A body that is cancelled, or not read to
 * its end, breaks its connection, and under `wrangler dev` other requests too. So the rest of the body is read
 * and discarded before the response is sent.
 */
class RequestBody {
  #request;
  #length;
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
    this.#length = length === null ? undefined : Number(length);
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
    if (this.#length !== undefined && this.#length <= WHOLE_MAX_BYTES) {
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
   * @returns {Promise<unknown> | undefined} `undefined` when nothing is left
   */
  readRest(context) {
    // Before `body`, which makes a stream.
    if (this.#isAtEnd || this.#request.body === null) return undefined;
    const isTooLong = this.#length !== undefined && this.#length > REST_MAX_BYTES;
    if (isTooLong && !this.#request.bodyUsed) return undefined;
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

/** @param {Call} call */
function bodyOf(call) {
  call.body ??= new RequestBody(/** @type {Request} */ (call.request));
  return call.body;
}

/** Reads the next part of a request's body. @param {number} waiter @param {number} id */
export function readBody(waiter, id) {
  const call = calls.get(id);
  const read = () => (call ? bodyOf(call).read() : Promise.reject(new Error('the request is over')));
  operate(waiter, read, bytesToInbox, PART_MAX_MS);
}

/**
 * Reads the rest of a request's body, so that the connection stays usable. The waiter is settled when the response may
 * be sent.
 *
 * @param {number} waiter
 * @param {number} id
 * @returns {boolean} whether there is a rest
 */
export function readRestOfBody(waiter, id) {
  const call = calls.get(id);
  const rest = call && bodyOf(call).readRest(/** @type {ExecutionContext} */ (call.context));
  if (rest)
    operate(
      waiter,
      () => rest.then(() => undefined),
      () => 0,
    );
  return rest !== undefined;
}

// --- for tests -------------------------------------------------------------------------------------

/** The kinds of items that the module counts, in its order. */
const LIVE = ['tasks', 'operations', 'streams', 'objects'];

/**
 * What both halves keep for events under way: all but the objects is gone once nothing runs. A property of the entry
 * with a symbol for its name: requests and other Workers cannot reach it.
 */
const LIVE_COUNTS = Symbol.for('edge-host.live');

function liveCounts() {
  const counts = Object.fromEntries(LIVE.map((kind, index) => [kind, module.live(index) >>> 0]));
  return { ...counts, calls: calls.size, background: background.size, pulls: pulls.size, timers: timers.size };
}

// --- the entry -------------------------------------------------------------------------------------

/**
 * The module as wasm-bindgen exports it.
 *
 * @typedef {object} Exports
 * @property {() => void} __wbg_reset_state starts a new instance of the module
 */

/**
 * The Worker's default export, which is thinner than worker-build's.
 *
 * @param {Exports} exports
 * @param {object} env the environment of the isolate
 */
export function entry(exports, env) {
  afterPanic = () => {};
  prepareAtStart(env);
  return {
    /** @param {Request} request @param {unknown} env @param {ExecutionContext} context */
    fetch(request, env, context) {
      const { method, url } = request;
      const repeat = method === 'GET' ? repeated.get(url) : undefined;
      if (repeat) return repeat();
      restart(exports);
      return serve(request, env, context, method, url);
    },
    [LIVE_COUNTS]: liveCounts,
  };
}

/**
 * A class of Durable Objects for the runtime. Its object is made again in each instance of the module.
 *
 * @param {Exports} exports
 * @param {new (context: DurableObjectState, env: unknown) => { fetch(request: Request): unknown, alarm(info: unknown): unknown }} Class
 */
export function objectClass(exports, Class) {
  return class {
    #context;
    #env;
    #object;
    #instance;

    /** @param {DurableObjectState} context @param {unknown} env */
    constructor(context, env) {
      this.#context = context;
      this.#env = env;
      this.#object = this.#make();
      this.#instance = instance;
    }

    #make() {
      restart(exports);
      try {
        return new Class(this.#context, this.#env);
      } catch (error) {
        panicked(error);
        throw resetError();
      }
    }

    #current() {
      restart(exports);
      if (this.#instance !== instance) {
        this.#object = this.#make();
        this.#instance = instance;
      }
      return this.#object;
    }

    /** @param {Request} request */
    fetch(request) {
      return this.#current().fetch(request);
    }

    /** @param {unknown} info */
    alarm(info) {
      return this.#current().alarm(info);
    }
  };
}

/** Hands a message to an object. @param {number} object @param {Request} request */
export async function deliver(object, request) {
  const began = instance;
  const message = await request.text();
  if (!isUsable(began)) throw resetError();
  const call = { response: undefined, hasResponse: false };
  const response = await open(call, (id) => module.message(id, object, toInbox(message)));
  return response === undefined ? new Response(null, { status: 500 }) : new Response(/** @type {string} */ (response));
}

/** Runs the alarm of an object. @param {number} object @param {{ retryCount?: number } | undefined} info */
export async function ring(object, info) {
  const call = { response: undefined, hasResponse: false };
  await open(call, (id) => module.alarm(id, object, info?.retryCount ?? 0));
}
