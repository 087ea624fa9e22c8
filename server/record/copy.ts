/**
 * Copies bytes between a guest's memory, shared memory and sockets' buffers.
 *
 * @module
 */

const { copy } = Buffer.prototype;

/**
 * Copies `[start, end)` of the source into the target at an offset.
 *
 * `Buffer`'s copy is one memmove (0.6 µs for 28 KB) whatever the memory; `TypedArray.prototype.set` copies to and from
 * shared memory word by word, as ECMAScript's memory model asks (7 µs). Nobody else touches the bytes meanwhile.
 */
export function copyBytes(
  source: Uint8Array,
  start: number,
  end: number,
  target: Uint8Array,
  offset: number,
): void {
  copy.call(source, target, offset, start, end);
}
