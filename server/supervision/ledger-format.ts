/**
 * The crash ledger: a small file that says which modules each thread of the server process runs, for
 * whoever finds the process dead.
 *
 * ```
 * header   magic, bytes in a row
 * row 0    the main thread: modules that are being compiled
 * row 1 …  one worker thread each: the stages of the pipeline that it runs
 * ```
 *
 * A row is a word of flags, a count, and so many digests of 32 bytes. Each is written by one `write` into
 * the page cache, so it is whole whenever the process dies.
 *
 * @module
 */

import { readFileSync } from "node:fs";

/** `LEATLDG1`, as the file begins. */
const magic = Buffer.from("LEATLDG1");
const headerBytes = 64;
const rowHeaderBytes = 8;
const digestBytes = 32;

/** Set in a row that is written for each batch and cleared after it, so that it names what ran at that moment. */
const exactFlag = 1;

/** What a row says. */
export interface LedgerRow {
  /** The row's place; 0 is the main thread. */
  readonly row: number;
  /** Whether these modules ran at that moment, rather than within the last second. */
  readonly exact: boolean;
  /** `sha256:` and 64 hex digits, each. */
  readonly digests: readonly string[];
}

/** What a worker needs to write its row. */
export interface LedgerSeat {
  /** The open file. Threads share descriptors. */
  readonly file: number;
  /** Its row. */
  readonly row: number;
  /** The size of each row. */
  readonly rowBytes: number;
  /** One word: the row whose worker runs a module on probation, or 0. */
  readonly lane: SharedArrayBuffer;
}

/** How large a row is that can name so many modules. */
export function rowBytesFor(maxDigests: number): number {
  return rowHeaderBytes + maxDigests * digestBytes;
}

/** Where a row begins in the file. */
export function rowOffset(row: number, rowBytes: number): number {
  return headerBytes + row * rowBytes;
}

/** The beginning of the file. */
export function encodeHeader(rowBytes: number): Buffer {
  const header = Buffer.alloc(headerBytes);
  magic.copy(header);
  header.writeUInt32LE(rowBytes, magic.length);
  return header;
}

/** A row without what lies behind its last digest, which readers do not look at. Digests beyond the row's room are left out. */
export function encodeRow(digests: readonly string[], exact: boolean, rowBytes: number): Buffer {
  const named = [...new Set(digests)].slice(0, Math.floor((rowBytes - rowHeaderBytes) / digestBytes));
  const row = Buffer.alloc(rowBytesFor(named.length));
  row.writeUInt32LE(exact ? exactFlag : 0, 0);
  row.writeUInt32LE(named.length, 4);
  for (const [index, digest] of named.entries()) {
    row.write(digest.replace(/^sha256:/, ""), rowHeaderBytes + index * digestBytes, "hex");
  }
  return row;
}

/**
 * Reads the rows that name modules.
 *
 * @returns none when there is no such file, or when it is none of ours
 */
export function readLedger(path: string): LedgerRow[] {
  let bytes: Buffer;
  try {
    bytes = readFileSync(path);
  } catch {
    return [];
  }
  if (bytes.length < headerBytes || !bytes.subarray(0, magic.length).equals(magic)) return [];
  const rowBytes = bytes.readUInt32LE(magic.length);
  const rows: LedgerRow[] = [];
  for (let row = 0; rowOffset(row, rowBytes) + rowHeaderBytes <= bytes.length && rowBytes > 0; row++) {
    const start = rowOffset(row, rowBytes);
    const count = bytes.readUInt32LE(start + 4);
    const end = start + rowBytesFor(count);
    if (count === 0 || rowBytesFor(count) > rowBytes || end > bytes.length) continue;
    const digests = Array.from({ length: count }, (_, index) => {
      const at = start + rowHeaderBytes + index * digestBytes;
      return `sha256:${bytes.toString("hex", at, at + digestBytes)}`;
    });
    rows.push({ row, exact: (bytes.readUInt32LE(start) & exactFlag) !== 0, digests });
  }
  return rows;
}
