import { Code } from "@connectrpc/connect";
import fc from "fast-check";
import { expect, test } from "vitest";
import { type BatchResult, type Item, Leat, text } from "../index.ts";
import { startProtocolServer } from "../test-kit/protocol-server.ts";
import { fast, numbers, oneTo, upper } from "../test-kit/stream-runs.ts";

/** What befalls the stream once so many answers have been given, counted over all connections. */
const fault = fc.record({
  afterAnswers: fc.integer({ min: 0, max: 60 }),
  kind: fc.constantFrom("cut", "drain", "refuse"),
});

test("whatever befalls the server, each result comes once, and in order where that was asked for", async () => {
  const property = fc.asyncProperty(
    fc.array(fault, { maxLength: 6 }),
    fc.integer({ min: 1, max: 9 }),
    fc.boolean(),
    async (faults, window, unordered) => {
      const due = faults.map(({ afterAnswers, kind }) => ({ afterAnswers, kind, done: false }));
      let answers = 0;
      await using server = await startProtocolServer({
        window,
        refuse: () => {
          answers++;
          const next = due.find(({ afterAnswers, done }) => !done && afterAnswers < answers);
          if (next === undefined) return undefined;
          next.done = true;
          if (next.kind === "cut") server.cutConnections();
          if (next.kind === "drain") server.drain();
          if (next.kind !== "refuse") return undefined;
          return { reason: "QUEUE_FULL", code: Code.ResourceExhausted, retryAfterMs: 1 };
        },
      });
      await using leat = new Leat(server.address);
      const options = { codec: text(), batchRecords: 1, unordered, ...fast };
      const results: BatchResult<Item<string>, string>[] = [];
      /** How many connections there had been when the result of a batch came. */
      const connectionsBefore = new Map<number, number>();
      for await (const result of leat.stream("uppercase", numbers(40), options)) {
        results.push(result);
        connectionsBefore.set(result.sequence, server.streams.length);
      }
      const sequences = results.map(({ sequence }) => sequence);
      expect(unordered ? sequences.toSorted((a, b) => a - b) : sequences).toEqual(oneTo(40));
      expect(results.toSorted((a, b) => a.sequence - b.sequence).flatMap(({ outputs }) => outputs)).toEqual(
        upper(40),
      );
      // Nothing runs again whose result has come: its failures would be dead letters once more.
      for (const [index, { batches }] of server.streams.entries()) {
        for (const { records } of batches) {
          const name = new TextDecoder().decode(records[0]?.value);
          const place = numbers(40).indexOf(name) + 1;
          if (place > 0) expect(connectionsBefore.get(place)).toBeGreaterThan(index);
        }
      }
      // Sequences have no gap, on any connection: the server ends the stream over one.
      expect(server.streams.every(({ maxUnanswered }) => maxUnanswered <= window)).toBe(true);
    },
  );
  await fc.assert(property, { numRuns: 40 });
});
