/** The simulation as an argument list of cargo: `tests/simulation`, optimised. */

export const SIMULATE_TEST = ['--test', 'simulation'];
export const SIMULATE_RUN = ['--', '--ignored', '--exact', 'simulate', '--nocapture'];
export const SIMULATE = ['--profile', 'simulate', ...SIMULATE_TEST, ...SIMULATE_RUN];
