/**
 * Throws from a host function through the guest's frames so that the guest cannot catch it.
 *
 * A JavaScript exception is caught by a guest's `catch_all`, and the guest goes on. A trap is not: V8
 * marks the error object of a trap as uncatchable for WebAssembly, and keeps the mark when JavaScript catches
 * and rethrows it. So a module of one instruction traps, and its error carries the reason.
 *
 * @module
 */

/** `(module (func (export "r") unreachable))` */
const trappingModule = Uint8Array.from([
  0x00, 0x61, 0x73, 0x6d, 0x01, 0x00, 0x00, 0x00, 0x01, 0x04, 0x01, 0x60, 0x00, 0x00, 0x03, 0x02, 0x01, 0x00,
  0x07, 0x05, 0x01, 0x01, 0x72, 0x00, 0x00, 0x0a, 0x05, 0x01, 0x03, 0x00, 0x00, 0x0b,
]);

const reasons = new WeakMap<object, { reason: unknown }>();
let trap: (() => void) | undefined;

/** Throws `reason`, uncatchable for the guest. Catch it with {@link carriedReason}. */
export function raise(reason: unknown): never {
  try {
    trap ??= new WebAssembly.Instance(new WebAssembly.Module(trappingModule)).exports["r"] as () => void;
    trap();
  } catch (carrier) {
    // At the end of the stack the carrier is a RangeError, which serves as well.
    if (carrier instanceof Error) reasons.set(carrier, { reason });
    throw carrier;
  }
  throw reason;
}

/** What {@link raise} was given where `thrown` comes from there; else `thrown` itself. */
export function carriedReason(thrown: unknown): unknown {
  const carried = typeof thrown === "object" && thrown !== null ? reasons.get(thrown) : undefined;
  return carried === undefined ? thrown : carried.reason;
}
