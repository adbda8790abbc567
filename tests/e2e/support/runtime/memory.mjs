/** Keeps a reference to the bundle's WebAssembly memory, which the bundle does not export. Loads before it. */

const RealInstance = WebAssembly.Instance;
/** @type {WebAssembly.Instance | undefined} */
let latest;

Object.defineProperty(WebAssembly, 'Instance', {
  configurable: true,
  writable: true,
  /** @param {ConstructorParameters<typeof WebAssembly.Instance>} given */
  value: function Instance(...given) {
    latest = new RealInstance(...given);
    return latest;
  },
});

/** The length of the memory, which never shrinks. */
export function memoryBytes() {
  const memory = latest?.exports.memory;
  if (!(memory instanceof WebAssembly.Memory)) throw new Error('the bundle has made no memory');
  return memory.buffer.byteLength;
}
