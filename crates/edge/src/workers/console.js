/** Events: lines on the console, and data points. */

const METHODS = [console.log, console.warn, console.error];

/** @param {number} level 0: information, 1: a warning, 2: an error @param {string} line */
export function writeLine(level, line) {
  METHODS[level](line);
}

/**
 * Counts an event. The runtime sends the point later. It throws for a point beyond the 250 of one invocation, which is
 * lost: https://developers.cloudflare.com/analytics/analytics-engine/limits/
 *
 * @param {AnalyticsEngineDataset} dataset
 * @param {string} point as JSON
 */
export function writePoint(dataset, point) {
  try {
    dataset.writeDataPoint(JSON.parse(point));
  } catch {
    // The console has the event.
  }
}
