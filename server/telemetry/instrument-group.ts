/**
 * Instruments and the functions that read them. Nothing is kept between two readings: what is not told any more has ended.
 *
 * @module
 */

/** The labels of one series. */
export type Labels = Readonly<Record<string, string>>;

/** The value of one label set. */
export type Point = readonly [value: number, labels?: Labels];

/** What figures are told by. */
export interface Instrument {
  /** Its name, as OpenTelemetry has it. */
  readonly name: string;
  /** `counter` for a figure that only rises. */
  readonly kind: "counter" | "gauge";
  readonly description: string;
  /** As UCUM has it; empty for a plain number. */
  readonly unit: string;
}

/** Takes the value of an instrument for one label set. */
export type Tell = (instrument: Instrument, value: number, labels?: Labels) => void;

/** What a reading function tells its figures to. */
export interface Observed {
  readonly observe: Tell;
}

/** Reads figures. A generator may be interrupted wherever it yields. */
type Read = (result: Observed) => Iterable<void> | undefined;

interface InstrumentOptions {
  readonly description: string;
  /** Default: none. */
  readonly unit?: string;
}

/** How many points are read in one go: they take about a millisecond to read and write down. */
const pointsPerPiece = 500;

/** All instruments over a set of figures. */
export class Instruments {
  readonly #reads: Read[] = [];

  /** A figure that only rises. */
  counter(name: string, { description, unit = "" }: InstrumentOptions): Instrument {
    return { name, kind: "counter", description, unit };
  }

  /** A figure that rises and falls. */
  gauge(name: string, { description, unit = "" }: InstrumentOptions): Instrument {
    return { name, kind: "gauge", description, unit };
  }

  /** Has instruments read by one function. */
  observe(read: (result: Observed) => void): void {
    this.#reads.push((result) => {
      read(result);
      return undefined;
    });
  }

  /** The same for figures of which there may be many: the function yields where it may be interrupted. */
  observeInPieces(read: (result: Observed) => Iterable<void>): void {
    this.#reads.push(read);
  }

  /** Tells all figures, and yields wherever other work should have its turn. */
  *read(tell: Tell): Generator<void, void, undefined> {
    let points = 0;
    const result: Observed = {
      observe: (instrument, value, labels) => {
        points += 1;
        tell(instrument, value, labels);
      },
    };
    for (const read of this.#reads) {
      for (const _ of read(result) ?? []) {
        if (points < pointsPerPiece) continue;
        points = 0;
        yield;
      }
    }
  }
}

/** A label set as text, `{name="value",…}` as Prometheus has it; empty without labels. It tells one series of an instrument from another. */
export function seriesOf(labels: Labels): string {
  let text = "";
  for (const name in labels) text += `${text === "" ? "{" : ","}${name}="${escapeLabel(labels[name] ?? "")}"`;
  return text === "" ? "" : `${text}}`;
}

function escapeLabel(value: string): string {
  if (!/["\\\n]/.test(value)) return value;
  return value.replaceAll("\\", "\\\\").replaceAll('"', '\\"').replaceAll("\n", "\\n");
}

/** Points of 1, for as long as something is so. */
export function whileTrue(read: () => readonly Labels[]): () => readonly Point[] {
  return () => read().map((labels) => [1, labels] as const);
}

/** Reads instruments that each have points of their own. */
export function observeAll(
  group: Instruments,
  reads: readonly (readonly [Instrument, () => readonly Point[]])[],
): void {
  group.observe((result) => {
    for (const [instrument, read] of reads) {
      for (const [value, labels] of read()) result.observe(instrument, value, labels);
    }
  });
}
