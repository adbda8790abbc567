/** The isolate's clock, which tests set forward. Loads before the bundle. */

const RealDate = Date;
let aheadMs = 0;
globalThis.Date = /** @type {DateConstructor} */ (
  class extends RealDate {
    /** @param {[] | [number | string | Date]} given */
    constructor(...given) {
      if (given.length > 0) super(.../** @type {[number]} */ (given));
      else super(RealDate.now() + aheadMs);
    }

    /** @override */
    static now() {
      return RealDate.now() + aheadMs;
    }
  }
);

/** @param {number} ms */
export function advance(ms) {
  aheadMs += ms;
}

/** The runtime's time of a time of the isolate's clock. @param {number} ms since 1970 */
export function runtimeTime(ms) {
  return ms - aheadMs;
}
