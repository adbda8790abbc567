/** Files of scenarios: steps that a runtime performs in order. `scenarios/mod.rs` runs them on the memory host. */

import { readFileSync } from 'node:fs';
import { test } from 'node:test';

/**
 * The scenarios of a file beside this one.
 *
 * @template Step
 * @param {string} file
 * @returns {{ name: string, steps: Step[] }[]}
 */
export function readScenarios(file) {
  return JSON.parse(readFileSync(new URL(file, import.meta.url), 'utf8'));
}

/**
 * Makes a test of each scenario. `begin` gets the scenario's number and returns the function that performs its
 * steps; that one gets the step's place in the scenario too, for messages.
 *
 * @template Step
 * @param {string} title
 * @param {{ name: string, steps: Step[] }[]} scenarios
 * @param {(number: number) => (step: Step, place: string) => Promise<void>} begin
 */
export function testScenarios(title, scenarios, begin) {
  for (const [number, { name, steps }] of scenarios.entries()) {
    test(`${title}: ${name}`, async () => {
      const perform = begin(number);
      for (const [index, step] of steps.entries()) await perform(step, `step ${index}: ${JSON.stringify(step)}`);
    });
  }
}
