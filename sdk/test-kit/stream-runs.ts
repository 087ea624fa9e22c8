import { type Leat, LeatCallError, type StreamOptions, text } from "../index.ts";

/** Reconnects without making a test wait. */
export const fast = { reconnect: { initialMs: 1, maxMs: 20 } } satisfies StreamOptions;

/** `n1`, `n2` and so on. */
export function numbers(count: number): string[] {
  return Array.from({ length: count }, (_, index) => `n${index + 1}`);
}

/** What `uppercase` makes of {@link numbers}. */
export function upper(count: number): string[] {
  return numbers(count).map((name) => name.toUpperCase());
}

/** 1, 2 and so on. */
export function oneTo(count: number): number[] {
  return Array.from({ length: count }, (_, index) => index + 1);
}

/** Runs a source through `uppercase`, one record a batch. */
export async function collect(
  leat: Leat,
  source: AsyncIterable<string> | Iterable<string>,
  options: StreamOptions = {},
): Promise<{ sequences: number[]; outputs: string[] }> {
  const sequences: number[] = [];
  const outputs: string[] = [];
  const all = { codec: text(), batchRecords: 1, ...fast, ...options };
  for await (const result of leat.stream("uppercase", source, all)) {
    sequences.push(result.sequence);
    outputs.push(...result.outputs);
  }
  return { sequences, outputs };
}

/** The LeatCallError that an action throws. */
export async function thrownBy(action: Promise<unknown>): Promise<LeatCallError> {
  const error = await action.then(
    () => undefined,
    (thrown: unknown) => thrown,
  );
  if (error instanceof LeatCallError) return error;
  throw new Error(`expected a LeatCallError, got ${String(error)}`);
}
