/**
 * The two shapes in which WorkOS refuses a request.
 *
 * `ApiError` is `{message, code}`; `OAuthError` is RFC 6749's `{error, error_description}`, which
 * the authenticate endpoint uses for malformed requests and for its standard grants.
 */

export class ApiError extends Error {
  /**
   * @param {number} status
   * @param {string} code
   * @param {string} message
   * @param {Record<string, unknown>} [extra] further members of the body
   */
  constructor(status, code, message, extra = {}) {
    super(message);
    this.status = status;
    this.code = code;
    this.extra = extra;
  }

  /** @returns {Record<string, unknown>} the response body */
  toBody() {
    return { message: this.message, code: this.code, ...this.extra };
  }
}

export class OAuthError extends ApiError {
  /** @override @returns {Record<string, unknown>} the response body */
  toBody() {
    return { error: this.code, error_description: this.message, ...this.extra };
  }
}

/**
 * Express error handler: known refusals keep their body, anything else says nothing of the inside.
 *
 * @param {(line: string) => void} log
 * @returns {import('express').ErrorRequestHandler}
 */
export function errorHandler(log) {
  return (error, req, res, next) => {
    if (res.headersSent) return next(error);
    if (error instanceof ApiError) return res.status(error.status).json(error.toBody());
    // body-parser's own errors. Their messages can quote the body, which holds secrets.
    if (error?.type === 'entity.parse.failed') {
      return res.status(400).json({ message: 'The request body is not valid JSON.', code: 'invalid_request_body' });
    }
    const status = error?.status >= 400 && error?.status < 500 ? error.status : 500;
    if (status === 500) log(`${req.method} ${req.path} failed: ${error?.name ?? 'unknown error'}`);
    return res
      .status(status)
      .json(
        status === 500
          ? { message: 'The local AuthKit failed.', code: 'server_error' }
          : { message: 'The request could not be read.', code: 'invalid_request_body' },
      );
  };
}
