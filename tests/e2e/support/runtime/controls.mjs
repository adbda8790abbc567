/** Names that the entry module and the test process share: paths of the test controls, and KV's bindings. */

/** The KV binding of each Worker: the expense tracker's, which the contract names, and the example's. */
export const KV_BINDINGS = { expenses: 'EXPENSES', example: 'AUTHKIT' };

export const CLOCK_PATH = '/.test/clock';
export const LOG_PATH = '/.test/log';
export const KV_PATH = '/.test/kv';
export const KV_HELD_PATH = '/.test/kv-held';
export const WAITS_PATH = '/.test/waits';
export const SETTLE_PATH = '/.test/settle';
export const BUSY_PATH = '/.test/busy';
export const USE_PATH = '/.test/use';
