/** Names that the entry module and the test process share: paths of the test controls, and bindings. */

/** The KV binding of each Worker: the expense tracker's, which the contract names, the example's, and that of edge-host's tests. */
export const KV_BINDINGS = { expenses: 'EXPENSES', example: 'AUTHKIT', edgeHost: 'KV_0' };

export const CLOCK_PATH = '/.test/clock';
export const LOG_PATH = '/.test/log';
export const KV_PATH = '/.test/kv';
export const KV_HELD_PATH = '/.test/kv-held';
export const OBJECTS_PATH = '/.test/objects';
export const OBJECT_HELD_PATH = '/.test/object-held';
export const DISTURB_PATH = '/.test/disturb';
export const LIMITS_PATH = '/.test/limits';
export const EVICT_PATH = '/.test/evict';
export const COLLECT_PATH = '/.test/collect';
export const COUNTS_PATH = '/.test/counts';
export const WAITS_PATH = '/.test/waits';
export const SETTLE_PATH = '/.test/settle';
export const BUSY_PATH = '/.test/busy';
export const USE_PATH = '/.test/use';
export const COUNTERS_PATH = '/.test/counters';
export const POINTS_PATH = '/.test/points';

/** Variables and the binding that the harness adds to a Worker's own. */
export const HARNESS = {
  /** The name of the isolate. Each one is a location of its own, and the objects together are another one. */
  location: 'TEST_LOCATION',
  /** How long a location does not see the writes of others to KV, in milliseconds. */
  kvLagMs: 'TEST_KV_LAG_MS',
  /** The versions of each key of KV, where KV lags. */
  kvHistory: 'TEST_KV_HISTORY',
  /** Whether a dataset is bound, whose data points a test reads. */
  counts: 'TEST_COUNTS',
};
/** The location of the objects. */
export const OBJECTS_LOCATION = 'objects';
