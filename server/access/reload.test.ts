import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, test } from "vitest";
import { Reload } from "./reload.ts";

test("who asks while a look is under way gets another one, after it, and all who ask then share it", async () => {
  const folder = mkdtempSync(join(tmpdir(), "leat-reload-"));
  const file = join(folder, "watched");
  writeFileSync(file, "one");
  let looks = 0;
  let taken = 0;
  const reload = new Reload({
    what: "the file",
    files: () => {
      looks++;
      return [file];
    },
    take: () => taken++,
    intervalMs: 1_000_000,
    logger: { info: () => {}, error: () => {} },
  });
  try {
    const first = reload.check();
    while (looks === 0) await Promise.resolve();
    writeFileSync(file, "two");
    await Promise.all([first, reload.check(), reload.check(), reload.check()]);
    expect(looks).toBe(2);
    const before = taken;
    await reload.check();
    expect({ looks, taken }).toEqual({ looks: 3, taken: before });
  } finally {
    reload.close();
    rmSync(folder, { recursive: true });
  }
});
