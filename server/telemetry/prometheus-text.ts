/**
 * Figures as Prometheus reads them: its text format 0.0.4, written in pieces with turns of the event loop between.
 * Source: https://prometheus.io/docs/instrumenting/exposition_formats/
 *
 * @module
 */

import { setImmediate as nextTurn } from "node:timers/promises";
import { type Instrument, type Instruments, type Labels, seriesOf } from "./instrument-group.ts";

/** The content type of {@link prometheusText}. */
export const prometheusContentType = "text/plain; version=0.0.4; charset=utf-8";

/** How much of one instrument's text is gathered before it is made bytes. */
const charactersPerPiece = 64 * 1024;

/**
 * All figures as text, in pieces to be sent one after the other. No turn of the event loop takes longer than a few
 * milliseconds for it, so figures may be some turns apart from each other.
 *
 * @param target - labels that tell this server from others
 */
export async function prometheusText(instruments: Instruments, target: Labels): Promise<readonly Buffer[]> {
  const families = new Map<Instrument, Family>();
  const information = {
    name: "target_info",
    description: "Target metadata",
    kind: "gauge",
    unit: "",
  } as const;
  const targetInfo = new Family(information);
  targetInfo.add(1, target);
  const reading = instruments.read((instrument, value, labels) => {
    let family = families.get(instrument);
    if (family === undefined) {
      family = new Family(instrument);
      families.set(instrument, family);
    }
    family.add(value, labels);
  });
  for (const _ of reading) await nextTurn();
  return [targetInfo, ...families.values()].flatMap((family) => family.end());
}

/** The lines of one instrument: they must stand together. */
class Family {
  readonly #name: string;
  readonly #series = new Set<string>();
  readonly #pieces: Buffer[] = [];
  #text: string;

  constructor({ name, kind, description, unit }: Instrument) {
    this.#name = prometheusName(name, kind);
    const help = `# HELP ${this.#name} ${escapeLine(description)}\n`;
    this.#text = `${help}${unit === "" ? "" : `# UNIT ${this.#name} ${unit}\n`}# TYPE ${this.#name} ${kind}\n`;
  }

  add(value: number, labels: Labels = {}): void {
    const series = seriesOf(labels);
    // A series that stands there twice makes the whole text invalid.
    if (this.#series.has(series)) return;
    this.#series.add(series);
    this.#text += `${this.#name}${series} ${valueText(value)}\n`;
    if (this.#text.length >= charactersPerPiece) this.#cut();
  }

  end(): readonly Buffer[] {
    this.#cut();
    return this.#pieces;
  }

  #cut(): void {
    if (this.#text === "") return;
    this.#pieces.push(Buffer.from(this.#text));
    this.#text = "";
  }
}

/** A metric's name as Prometheus has it. */
function prometheusName(name: string, kind: Instrument["kind"]): string {
  const plain = name.replaceAll(/[^a-zA-Z0-9]+/g, "_");
  return kind === "counter" ? `${plain}_total` : plain;
}

function escapeLine(text: string): string {
  return text.replaceAll("\\", "\\\\").replaceAll("\n", "\\n");
}

function valueText(value: number): string {
  if (value === Number.POSITIVE_INFINITY) return "+Inf";
  return value === Number.NEGATIVE_INFINITY ? "-Inf" : String(value);
}
