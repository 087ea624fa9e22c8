/**
 * Cases that cannot run here.
 *
 * @module
 */

/** Thrown by a case for which this machine lacks something; the message says what. It has shown nothing, and is told apart at the end. */
export class Skipped extends Error {
  override readonly name = "Skipped";
}
