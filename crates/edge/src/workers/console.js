/** Events: lines on the console, and data points. */

const METHODS = [console.log, console.warn, console.error];

/** @param {number} level 0: information, 1: a warning, 2: an error @param {string} line */
export function writeLine(level, line) {
  METHODS[level](line);
}

/** Counts an event. The runtime sends the point later. @param {AnalyticsEngineDataset} dataset @param {string} point as JSON */
export function writePoint(dataset, point) {
  dataset.writeDataPoint(JSON.parse(point));
}
