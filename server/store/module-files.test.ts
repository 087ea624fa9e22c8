import { mkdir, readdir, readFile, stat, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { expect, test } from "vitest";
import { testFolder } from "../../test/kit/folder.ts";
import { digestOf } from "../module/compile.ts";
import { FileModuleStore, type OnSetAside } from "./module-files.ts";

const bytes = Buffer.from("not read as wasm here");
const digest = await digestOf(bytes);
const shard = digest.slice(7, 9);

async function storeIn(folder: string) {
  const aside: Parameters<OnSetAside>[0][] = [];
  return { aside, store: new FileModuleStore(folder, digestOf, (notice) => aside.push(notice)) };
}

test("a binary lies under its digest, for its owner alone, and is read again", async () => {
  await using folder = await testFolder();
  const { store } = await storeIn(join(folder.path, "modules"));
  await store.put(digest, bytes);
  const file = join(folder.path, "modules/sha256", shard, `${digest.slice(7)}.wasm`);
  expect(await readFile(file)).toEqual(bytes);
  expect((await stat(file)).mode & 0o777).toBe(0o600);
  expect(await store.get(digest)).toEqual(bytes);
  expect(await store.sizes()).toEqual(new Map([[digest, bytes.length]]));
  await store.put(digest, bytes);
  expect(await readdir(join(folder.path, "modules/sha256", shard))).toHaveLength(1);
  await store.delete(digest);
  await store.delete(digest);
  expect(await store.get(digest)).toBeUndefined();
  expect(await store.sizes()).toEqual(new Map());
});

test("a binary with a wrong byte is set aside, named, and can be put again", async () => {
  await using folder = await testFolder();
  const { store, aside } = await storeIn(folder.path);
  await store.put(digest, bytes);
  const file = join(folder.path, "sha256", shard, `${digest.slice(7)}.wasm`);
  const broken = Buffer.from(bytes).fill("N", 0, 1);
  await writeFile(file, broken);
  await expect(store.get(digest)).rejects.toMatchObject({
    reason: "MODULE_FILE_BROKEN",
    metadata: { digest },
  });
  expect(aside).toMatchObject([{ digest, file }]);
  expect(await readFile(aside[0]?.to ?? "")).toEqual(broken);
  expect(await store.get(digest)).toBeUndefined();
  await store.put(digest, bytes);
  expect(await store.get(digest)).toEqual(bytes);
});

test("a binary with a wrong byte is written anew when the right one is put", async () => {
  await using folder = await testFolder();
  const { store, aside } = await storeIn(folder.path);
  await store.put(digest, bytes);
  await writeFile(join(folder.path, "sha256", shard, `${digest.slice(7)}.wasm`), "short");
  await store.put(digest, bytes);
  expect(await store.get(digest)).toEqual(bytes);
  expect(aside).toHaveLength(1);
});

test("what an interrupted write has left is removed, and what is no binary is passed over", async () => {
  await using folder = await testFolder();
  const { store } = await storeIn(folder.path);
  await mkdir(join(folder.path, "sha256/zz"), { recursive: true });
  await writeFile(join(folder.path, "sha256/zz/abc.wasm.123.partial"), "half");
  await writeFile(join(folder.path, "sha256/zz/other.wasm"), "what");
  expect(await store.sizes()).toEqual(new Map());
  expect(await readdir(join(folder.path, "sha256/zz"))).toEqual(["other.wasm"]);
});

test("a folder that cannot be written to fails the put, and leaves nothing behind", async () => {
  await using folder = await testFolder();
  await writeFile(join(folder.path, "sha256"), "a file where a folder should be");
  const { store } = await storeIn(folder.path);
  await expect(store.put(digest, bytes)).rejects.toMatchObject({ reason: "STORE_UNAVAILABLE" });
  expect(await readdir(folder.path)).toEqual(["sha256"]);
});
