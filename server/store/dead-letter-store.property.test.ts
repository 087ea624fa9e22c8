import fc from "fast-check";
import { expect, test } from "vitest";
import { clockOf } from "../../test/kit/clocks.ts";
import { draft } from "../../test/kit/dead-letters.ts";
import { resolveLimits } from "../limits.ts";
import { type DeadLetterDraft, DeadLetterStore, type LetterFilter } from "./dead-letter-store.ts";

const name = fc.constantFrom("a", "b", "c");
const timeMs = fc.integer({ min: 1_000, max: 1_020 });

const letters: fc.Arbitrary<DeadLetterDraft[]> = fc.array(
  fc
    .record({
      id: fc.integer({ min: 0, max: 60 }).map((id) => `letter ${id}`),
      timeMs,
      pipeline: name,
      stage: name,
      code: name,
      module: name,
      version: name,
      digest: name,
    })
    .map(({ id, ...fields }) => draft(id, fields)),
  { maxLength: 40 },
);

const filter: fc.Arbitrary<LetterFilter> = fc.record(
  {
    ids: fc.uniqueArray(
      fc.integer({ min: 0, max: 60 }).map((id) => `letter ${id}`),
      { maxLength: 20 },
    ),
    pipeline: name,
    stage: name,
    code: name,
    module: name,
    version: name,
    digest: name,
    sinceMs: timeMs,
    untilMs: timeMs,
  },
  { requiredKeys: [] },
);

/** What a store does, in memory. */
class Model {
  /** In the order in which they were written. */
  kept: DeadLetterDraft[] = [];

  write(added: readonly DeadLetterDraft[]): void {
    for (const letter of added) if (!this.kept.some(({ id }) => id === letter.id)) this.kept.push(letter);
  }

  /** Oldest first; of the same time, in the order in which they were written. */
  select(wanted: LetterFilter): string[] {
    return this.kept
      .filter(
        (letter) =>
          (wanted.ids?.includes(letter.id) ?? true) &&
          (["pipeline", "stage", "code", "module", "version", "digest"] as const).every(
            (key) => wanted[key] === undefined || wanted[key] === letter[key],
          ) &&
          letter.timeMs >= (wanted.sinceMs ?? 0) &&
          letter.timeMs < (wanted.untilMs ?? Number.POSITIVE_INFINITY),
      )
      .sort((one, other) => one.timeMs - other.timeMs)
      .map(({ id }) => id);
  }

  purge(wanted: LetterFilter): number {
    const gone = this.select(wanted);
    this.kept = this.kept.filter(({ id }) => !gone.includes(id));
    return gone.length;
  }
}

/** All pages, with letters written between one page and the next. */
async function listAll(
  store: DeadLetterStore,
  wanted: LetterFilter,
  pageSize: number,
  between: () => Promise<void>,
): Promise<string[]> {
  const ids: string[] = [];
  let pageToken: string | undefined;
  do {
    const page = await store.list(wanted, { pageSize, ...(pageToken === undefined ? {} : { pageToken }) });
    expect(page.letters.length).toBeLessThanOrEqual(pageSize);
    ids.push(...page.letters.map(({ id }) => id));
    pageToken = page.nextPageToken;
    if (pageToken !== undefined) await between();
  } while (pageToken !== undefined);
  return ids;
}

test("lists, pages, reads and purges what the filter says, under all filters", async () => {
  const clock = clockOf(() => 0);
  const store = await DeadLetterStore.open({ file: undefined, limits: resolveLimits(), clock });
  try {
    await fc.assert(
      fc.asyncProperty(
        fc.array(letters, { minLength: 1, maxLength: 3 }),
        fc.array(filter, { minLength: 1, maxLength: 4 }),
        fc.integer({ min: 1, max: 15 }),
        async (writes, filters, pageSize) => {
          const model = new Model();
          await store.purge({});
          for (const written of writes) {
            await store.write(written);
            model.write(written);
          }
          for (const wanted of filters) {
            const expected = model.select(wanted);
            const { total } = await store.list(wanted, { pageSize });
            expect(total).toBe(expected.length);
            expect(await listAll(store, wanted, pageSize, async () => {})).toEqual(expected.toReversed());
            const read: string[] = [];
            for await (const { id } of store.read(wanted, pageSize)) read.push(id);
            expect(read).toEqual(expected.slice(0, pageSize));
          }
          const [first = {}] = filters;
          expect(await store.purge(first)).toBe(model.purge(first));
          expect(await store.stats()).toMatchObject({ letters: model.kept.length });
        },
      ),
      { numRuns: 60 },
    );
  } finally {
    await store.close();
  }
});

test("a page is not moved by letters that come while it is turned", async () => {
  const clock = clockOf(() => 0);
  const store = await DeadLetterStore.open({ file: undefined, limits: resolveLimits(), clock });
  try {
    await fc.assert(
      fc.asyncProperty(
        letters,
        fc.array(timeMs, { maxLength: 5 }),
        fc.integer({ min: 1, max: 6 }),
        async (first, times, size) => {
          const model = new Model();
          await store.purge({});
          await store.write(first);
          model.write(first);
          let added = 0;
          const listed = await listAll(store, {}, size, async () => {
            await store.write(times.map((time) => draft(`added ${added++}`, { timeMs: time })));
          });
          expect(listed.filter((id) => id.startsWith("letter"))).toEqual(model.select({}).toReversed());
          expect(new Set(listed).size).toBe(listed.length);
        },
      ),
      { numRuns: 40 },
    );
  } finally {
    await store.close();
  }
});
