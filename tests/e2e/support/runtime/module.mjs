/** Watches the bundle's WebAssembly module: its memory, and its calls to JavaScript. Loads before the bundle. */

const RealInstance = WebAssembly.Instance;
/** @type {WebAssembly.Instance | undefined} */
let latest;

/** How often the module has called each function of JavaScript. @type {Record<string, number>} */
export const hostCalls = {};

/** What wasm-bindgen adds to the name of a function. */
const BINDGEN = /^__wbg_(.*)_[0-9a-f]{16}$/;

Object.defineProperty(WebAssembly, 'Instance', {
  configurable: true,
  writable: true,
  /** @param {WebAssembly.Module} module @param {WebAssembly.Imports} [imports] */
  value: function Instance(module, imports = {}) {
    const entries = Object.entries(imports).map(([name, members]) => [name, counted(members)]);
    latest = new RealInstance(module, Object.fromEntries(entries));
    return latest;
  },
});

/** @param {WebAssembly.ModuleImports} members */
function counted(members) {
  const entries = Object.entries(members).map(([member, value]) => {
    if (typeof value !== 'function') return [member, value];
    const name = BINDGEN.exec(member)?.[1] ?? member;
    const call = (/** @type {unknown[]} */ ...given) => {
      hostCalls[name] = (hostCalls[name] ?? 0) + 1;
      return value(...given);
    };
    return [member, call];
  });
  return Object.fromEntries(entries);
}

/** The length of the memory, which never shrinks. */
export const memoryBytes = () => memory().byteLength;

/** Counters in the memory, as `withCounters` of `local/wasm.mjs` makes them. @param {number} address @param {number} length */
export const countersAt = (address, length) => [...new Uint32Array(memory(), address, length)];

function memory() {
  const { memory } = latest?.exports ?? {};
  if (!(memory instanceof WebAssembly.Memory)) throw new Error('the bundle has made no memory');
  return memory.buffer;
}
