/** The processes of the runtime, for what they use. */

import { readFileSync, readdirSync } from 'node:fs';

/** The workerd processes started by this process. Empty on systems without /proc. */
export function runtimePids() {
  let names;
  try {
    names = readdirSync('/proc');
  } catch {
    return [];
  }
  return names
    .filter((name) => /^\d+$/.test(name))
    .map(Number)
    .filter((pid) => {
      try {
        const stat = /^\d+ \((.*)\) \S (\d+) /s.exec(readFileSync(`/proc/${pid}/stat`, 'latin1'));
        return stat !== null && stat[1] === 'workerd' && Number(stat[2]) === process.pid;
      } catch {
        // The process has ended meanwhile.
        return false;
      }
    });
}
