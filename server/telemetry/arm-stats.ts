/**
 * What is counted of one of two versions that are compared.
 *
 * @module
 */

/** Buckets of times: 8 to a doubling, from 1 µs up to an hour, so a quantile is right to 9 %. */
const bucketsPerDoubling = 8;
const bucketCount = 32 * bucketsPerDoubling;

/** How the batches of one version went. Counting allocates nothing. */
export class ArmStats {
  /** Batches that ran. */
  batches = 0;
  /** Records that came in. */
  records = 0;
  /** Records that failed in a stage, whatever its policy made of that. */
  recordsFailed = 0;
  /** Batches that ended with an error, or that stopped their worker. */
  errors = 0;
  /** Told of each batch and each error. */
  onProgress: () => void = () => {};
  readonly #times = new Float64Array(bucketCount);
  #runs = 0;

  /** Counts a run of some batches together. */
  ran(batches: number, ms: number, records: number, recordsFailed: number): void {
    this.batches += batches;
    this.records += records;
    this.recordsFailed += recordsFailed;
    const bucket = Math.floor(Math.log2(Math.max(1, ms * 1_000)) * bucketsPerDoubling);
    const index = Math.min(bucketCount - 1, bucket);
    this.#times[index] = (this.#times[index] ?? 0) + 1;
    this.#runs++;
    this.onProgress();
  }

  /** Counts a batch that ended with an error. */
  failed(): void {
    this.errors++;
    this.onProgress();
  }

  /** The share of records that failed: 0 to 1. */
  get recordFailureRate(): number {
    return this.records === 0 ? 0 : this.recordsFailed / this.records;
  }

  /** The share of batches that ended with an error: 0 to 1. */
  get errorRate(): number {
    const all = this.batches + this.errors;
    return all === 0 ? 0 : this.errors / all;
  }

  /** The time in a worker, in milliseconds, that this share of runs did not exceed; 0 before the first. */
  timeMs(share: number): number {
    let left = Math.ceil(this.#runs * share);
    for (let bucket = 0; bucket < bucketCount; bucket++) {
      left -= this.#times[bucket] ?? 0;
      if (left <= 0 && this.#runs > 0) return 2 ** ((bucket + 1) / bucketsPerDoubling) / 1_000;
    }
    return 0;
  }
}
