import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { expect, test } from "vitest";
import { clockOf } from "../../test/kit/clocks.ts";
import { resolveLimits } from "../limits.ts";
import { DeadLetterStore } from "./dead-letter-store.ts";

/** Writes letters without end, some at a time, and says which of them the store has acknowledged. */
const writer = `
  const [storePath, kitPath, limitsPath, file] = process.argv.slice(1);
  const { DeadLetterStore } = await import(storePath);
  const { draft } = await import(kitPath);
  const { resolveLimits } = await import(limitsPath);
  const clock = { nowMs: () => Date.now(), wallMs: () => Date.now() };
  const store = await DeadLetterStore.open({ file, limits: resolveLimits(), clock });
  const write = async (lane) => {
    for (let n = 0; ; n++) {
      const id = lane + "-" + n;
      await store.write([draft(id, { timeMs: Date.now() })]);
      process.stdout.write(id + "\\n");
    }
  };
  await Promise.all(["a", "b", "c"].map(write));
`;

test("letters that were acknowledged are there after kill -9", async () => {
  const folder = await mkdtemp(join(tmpdir(), "leat-durable-"));
  const file = join(folder, "leat.sqlite");
  try {
    const acknowledged: string[] = [];
    for (const count of [1, 20, 200]) {
      const paths = ["./dead-letter-store.ts", "../../test/kit/dead-letters.ts", "../limits.ts"];
      const urls = paths.map((path) => new URL(path, import.meta.url).href);
      const args = ["--input-type=module", "--eval", writer, ...urls, file];
      const child = spawn(process.execPath, args, { stdio: ["ignore", "pipe", "inherit"] });
      const exited = once(child, "exit");
      let said = 0;
      for await (const id of createInterface({ input: child.stdout })) {
        acknowledged.push(id);
        if (++said === count) child.kill("SIGKILL");
      }
      await exited;
      expect(said).toBeGreaterThanOrEqual(count);
    }
    const clock = clockOf(() => Date.now());
    const store = await DeadLetterStore.open({ file, limits: resolveLimits(), clock });
    const kept = new Set<string>();
    for await (const { id } of store.read({}, 1_000_000)) kept.add(id);
    await store.close();
    expect(acknowledged.filter((id) => !kept.has(id))).toEqual([]);
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
});
