/** Answers whose form is the same everywhere. */

import assert from 'node:assert/strict';

/**
 * An error in the contract's form: `{"detail": "…"}` and nothing else.
 *
 * @param {import('./http.mjs').Answer} answer
 * @param {number} status
 * @param {RegExp} [detail]
 */
export function assertDetail(answer, status, detail = /./) {
  assert.equal(answer.status, status, `${answer}`);
  assert.deepEqual(Object.keys(answer.json), ['detail'], `${answer}`);
  assert.equal(typeof answer.json.detail, 'string', `${answer}`);
  assert.match(answer.json.detail, detail);
}

/**
 * 401 as the contract has it.
 *
 * @param {import('./http.mjs').Answer} answer
 * @param {RegExp} [challenge]
 */
export function assertUnauthorized(answer, challenge = /^Bearer\b/) {
  assertDetail(answer, 401);
  assert.match(answer.headers['www-authenticate'] ?? '', challenge, `${answer}`);
}

/** 401 for a token that was given and is no good. @param {import('./http.mjs').Answer} answer */
export function assertInvalidToken(answer) {
  assertUnauthorized(answer, /^Bearer\b.*\berror="invalid_token"/);
}

/**
 * 503 as the contract has it.
 *
 * @param {import('./http.mjs').Answer} answer
 */
export function assertUnavailable(answer) {
  assertDetail(answer, 503);
  assert.match(answer.headers['retry-after'] ?? '', /^[1-9]\d*$/, `${answer}`);
}

/** @typedef {{ type: string, loc: (string | number)[], msg: string }} Problem as FastAPI writes it */

/**
 * 422 in FastAPI's form, with exactly these problems.
 *
 * @param {import('./http.mjs').Answer} answer
 * @param {[type: string, ...loc: (string | number)[]][]} problems
 */
export function assertProblems(answer, problems) {
  assert.equal(answer.status, 422, `${answer}`);
  assert.deepEqual(Object.keys(answer.json), ['detail']);
  assert.deepEqual(
    answer.json.detail.map((/** @type {Problem} */ { type, loc }) => [type, ...loc]),
    problems,
    `${answer}`,
  );
  for (const problem of answer.json.detail) {
    assert.equal(typeof problem.msg, 'string');
    assert.ok(problem.msg.length > 0);
    assert.ok('input' in problem, `${answer}`);
  }
}
