/**
 * Failures on demand: `{method, path, status, body?, count?}` as WorkOS's emulator takes them at
 * `/_emulate/hooks`, and `delay_ms`. With a `delay_ms` and no `status` the answer is late but real.
 */

import { setTimeout as sleep } from 'node:timers/promises';

import express from 'express';

import { ApiError } from './errors.mjs';
import { newId } from './ids.mjs';

/**
 * @typedef {object} HookInput
 * @property {string} method or `*`
 * @property {string} path exact, `prefix/*` or `*`
 * @property {number} [status]
 * @property {Record<string, unknown>} [body]
 * @property {number} [count] how many requests it answers; for ever where absent
 * @property {number} [delay_ms]
 */

/** @typedef {HookInput & {id: string}} Hook */

const PREFIX = '/_emulate/';
const MAX_DELAY_MS = 10 * 60 * 1000;

/** @type {Record<number, string>} */
const CODES = {
  400: 'bad_request',
  401: 'unauthorized',
  403: 'forbidden',
  404: 'not_found',
  409: 'conflict',
  422: 'unprocessable_entity',
  429: 'rate_limit_exceeded',
  500: 'server_error',
  503: 'service_unavailable',
};

export class Hooks {
  /** @type {Hook[]} first match wins */
  #hooks = [];

  /** @returns {Hook[]} */
  list() {
    return [...this.#hooks];
  }

  /**
   * @param {HookInput} input
   * @returns {Hook}
   * @throws {ApiError} 400 when it is not a hook
   */
  add(input) {
    const problem = problemWith(input);
    if (problem) throw new ApiError(400, 'bad_request', problem);
    const { method, path, status, body, count, delay_ms } = input;
    const hook = { id: newId('hook', Date.now()), method, path, status, body, count, delay_ms };
    this.#hooks.push(hook);
    return hook;
  }

  /**
   * @param {string} id
   * @returns {boolean} whether there was one
   */
  remove(id) {
    const before = this.#hooks.length;
    this.#hooks = this.#hooks.filter((hook) => hook.id !== id);
    return this.#hooks.length < before;
  }

  clear() {
    this.#hooks = [];
  }

  /** @returns {import('express').RequestHandler} */
  intercept() {
    return async (req, res, next) => {
      const hook = req.path.startsWith(PREFIX) ? undefined : this.#take(req.method, req.path);
      if (!hook) return next();
      if (hook.delay_ms) {
        const gone = new AbortController();
        res.once('close', () => gone.abort());
        try {
          await sleep(hook.delay_ms, undefined, { signal: gone.signal });
        } catch {
          return;
        }
      }
      if (hook.status === undefined) return next();
      res
        .status(hook.status)
        .json(hook.body ?? { message: `Injected ${hook.status}`, code: CODES[hook.status] ?? 'error' });
    };
  }

  /** @returns {import('express').Router} */
  routes() {
    const router = express.Router();
    router.get('/_emulate/hooks', (_req, res) => void res.json(this.list()));
    router.post('/_emulate/hooks', express.json(), (req, res) => void res.status(201).json(this.add(req.body ?? {})));
    router.delete('/_emulate/hooks', (_req, res) => {
      this.clear();
      res.status(204).end();
    });
    router.delete('/_emulate/hooks/:id', (req, res) => {
      if (!this.remove(req.params.id)) throw new ApiError(404, 'not_found', 'There is no such hook.');
      res.status(204).end();
    });
    return router;
  }

  /**
   * @param {string} method
   * @param {string} path
   * @returns {Hook | undefined}
   */
  #take(method, path) {
    const hook = this.#hooks.find(
      (candidate) =>
        (candidate.method === '*' || candidate.method.toUpperCase() === method) && matches(candidate.path, path),
    );
    if (hook?.count !== undefined) {
      hook.count -= 1;
      if (hook.count === 0) this.remove(hook.id);
    }
    return hook;
  }
}

/**
 * @param {HookInput} input
 * @returns {string | null}
 */
function problemWith({ method, path, status, body, count, delay_ms }) {
  if (typeof method !== 'string' || !method || typeof path !== 'string' || !path) return 'method and path are required';
  if (status === undefined && delay_ms === undefined) return 'status or delay_ms is required';
  if (status !== undefined && !isIntegerWithin(status, 200, 599)) return 'status must be between 200 and 599';
  if (body !== undefined && (typeof body !== 'object' || body === null)) return 'body must be an object';
  if (count !== undefined && !isIntegerWithin(count, 1, Infinity)) return 'count must be a positive integer';
  if (delay_ms !== undefined && !isIntegerWithin(delay_ms, 0, MAX_DELAY_MS))
    return `delay_ms must be between 0 and ${MAX_DELAY_MS}`;
  return null;
}

/**
 * @param {number} value
 * @param {number} min
 * @param {number} max
 * @returns {boolean}
 */
function isIntegerWithin(value, min, max) {
  return Number.isInteger(value) && value >= min && value <= max;
}

/**
 * @param {string} pattern
 * @param {string} path
 * @returns {boolean}
 */
function matches(pattern, path) {
  if (pattern === '*' || pattern === path) return true;
  if (!pattern.endsWith('/*')) return false;
  const prefix = pattern.slice(0, -2);
  return path === prefix || path.startsWith(`${prefix}/`);
}
