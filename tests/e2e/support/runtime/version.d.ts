/** Written by `fake-worker-build.mjs`. */
export const version: string;
