import { mkdtempDisposableSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, test } from "vitest";
import { draft } from "../../test/kit/dead-letters.ts";
import { addedBytes, hasRoom } from "./disk-room.ts";

test("there is room for a letter, and none for more than the disk has", () => {
  using folder = mkdtempDisposableSync(join(tmpdir(), "leat-room-"));
  const file = join(folder.path, "leat.sqlite");
  expect(hasRoom(file, 10_000)).toBe(true);
  expect(hasRoom(file, 2 ** 60)).toBe(false);
});

test("letters count with their bytes, and what removes or counts takes none", () => {
  const record = new Uint8Array(10_000);
  expect(addedBytes([{ t: "add", letters: [draft("a", { record, stageInput: record })] }])).toBeGreaterThan(
    20_000,
  );
  expect(
    addedBytes([
      { t: "remove", ids: ["a"] },
      { t: "replayed", id: "a", attempts: 1 },
    ]),
  ).toBe(0);
});
