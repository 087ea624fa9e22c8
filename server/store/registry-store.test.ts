import fc from "fast-check";
import { expect, test } from "vitest";
import { MemoryRegistryStore, type StoredRevision } from "./registry-store.ts";
import { Storage } from "./storage.ts";

/** Puts revisions 1, 2, 3 …, each after one of those that are kept then; what both stores keep after each. */
async function bothKeep(keep: number, picks: readonly number[]): Promise<void> {
  const memory = new MemoryRegistryStore();
  const storage = new Storage({ file: undefined, maxLockMs: 1_000, maxPages: undefined }, () => {});
  try {
    let kept: readonly number[] = [];
    for (const [index, pick] of picks.entries()) {
      const previous = kept[pick % Math.max(1, kept.length)] ?? 0;
      const facts = { timeMs: 1, principal: "ops", digest: "", definition: new Uint8Array() };
      const revision: StoredRevision = { name: "orders", revision: index + 1, previous, ...facts };
      await memory.commit([{ t: "pipeline", revision, keep }]);
      storage.transaction(({ registry }) => registry.take({ t: "pipeline", revision, keep }));
      kept = (await memory.revisions("orders")).map((each) => each.revision);
      const stored = storage.use(({ registry }) => registry.revisions("orders"));
      expect(stored.map((each) => each.revision)).toEqual(kept);
      expect(kept).toContain(index + 1);
      expect(kept.length).toBe(Math.min(keep, index + 1));
      if (keep > 1 && previous > 0) expect(kept).toContain(previous);
      expect(storage.use(({ registry }) => registry.read()).pipelines).toMatchObject([
        { revision: index + 1, newest: index + 1, previous, principal: "ops" },
      ]);
    }
  } finally {
    storage.close();
  }
}

test("the newest revisions are kept, and always the one that was left last, in memory and in the file", async () => {
  await fc.assert(
    fc.asyncProperty(fc.integer({ min: 1, max: 5 }), fc.array(fc.nat(), { maxLength: 15 }), bothKeep),
    { numRuns: 50 },
  );
});
