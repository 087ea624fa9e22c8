/**
 * Node's flags for the server process. They hold from the start of a process only, so whoever starts it gives them.
 *
 * @module
 */

/**
 * V8's heap, tuned for a process whose garbage is network buffers, which are memory outside the heap.
 *
 * - A large old generation from the start: under the default one, buffers force a full collection every few batches.
 * - A young generation of 4 MiB halves instead of 16: small collections come often enough to free buffers before they
 *   count as pressure. With 16 MiB there were 3 to 5 full collections a second under load, with 4 MiB none.
 * - External memory counts towards the heap's limit instead of one of its own. By its own, V8 began a full collection for
 *   each 64 MiB of network buffers that came and went: ten a second on a busy stream, on helper threads as well.
 */
export const nodeFlags: readonly string[] = [
  "--initial-old-space-size=1024",
  "--max-semi-space-size=4",
  "--external-memory-accounted-in-global-limit",
];
