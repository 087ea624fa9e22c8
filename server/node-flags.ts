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
 */
export const nodeFlags: readonly string[] = ["--initial-old-space-size=1024", "--max-semi-space-size=4"];
