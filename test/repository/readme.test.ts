/** What the README shows is compiled and run, as it stands there, against a real server. */

import { execFile } from "node:child_process";
import { mkdtemp, readFile, rm, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import { afterAll, beforeAll, expect, test } from "vitest";
import { type LeatServer, startServer } from "../../server/index.ts";
import { runCommand } from "../kit/leat-command.ts";
import { root } from "./root.ts";
import { textOf } from "./source-files.ts";

const execute = promisify(execFile);
const blocks = [...textOf("README.md").matchAll(/^```(\w*)\n([\s\S]*?)^```/gm)].map(
  ([, language = "", code = ""]) => ({ language, code }),
);
const quakes = ['{"place":"Honshu","magnitude":6.1}', '{"place":"Nevada","magnitude":1.2}', '{"place":"?"}'];

let folder: string;
let server: LeatServer;
/** What each command of the README wrote to stdout, by its first two words. */
const outputs: Record<string, string> = {};

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "leat-readme-"));
  await symlink(join(root, "node_modules"), join(folder, "node_modules"), "dir");
  await write("strong.ts", block("ts", "@leat/assemblyscript"));
  await write("pipelines.yaml", block("yaml", "pipelines:"));
  await write("quakes.ndjson", quakes.map((quake) => `${quake}\n`).join(""));
  await write("package.json", '{ "type": "module" }');
  server = await startServer({ grpcAddress: "127.0.0.1:0", httpAddress: "127.0.0.1:0" });
  for (const line of block("sh", "leat serve").trim().split("\n")) {
    const command = line.replace(/ +#.*$/, "");
    if (command === "leat serve") continue;
    outputs[command.split(" ", 2).join(" ")] = await runLine(command);
  }
}, 120_000);

afterAll(async () => {
  await server.close();
  await rm(folder, { recursive: true });
});

test("the commands compile the module, load it and run records through it", async () => {
  expect(outputs["leat run"]).toBe(`${quakes[0]}\n`);
  expect(outputs["leat module"]).toMatch(/^loaded strong@1\.0\.0 /);
  expect(outputs["leat pipeline"]).toBe("applied strong-quakes, revision 1\n");
  expect(await readFile(join(folder, "strong.ndjson"), "utf8")).toBe(`${quakes[0]}\n`);
});

test("the program compiles, and prints what the module lets through", async () => {
  const code = block("ts", "@leat/sdk");
  expect(code.trim().split("\n").length).toBeLessThanOrEqual(22);
  await write("program.ts", code.replace("127.0.0.1:7070", `127.0.0.1:${server.grpcPort}`));
  const config = { extends: join(root, "tsconfig.json"), include: ["program.ts"], exclude: [] };
  await write("tsconfig.json", JSON.stringify(config));
  const tsc = join(root, "node_modules/.bin/tsc");
  const compiled = await execute(tsc, ["-p", folder]).catch((error: { stdout: string }) => error);
  expect(compiled.stdout).toBe("");
  expect(await execute(process.execPath, ["program.ts"], { cwd: folder })).toEqual({
    stdout: "Honshu 6.1\n",
    stderr: "",
  });
});

test("the call with curl gives the answer that stands below it", async () => {
  const text = block("sh", "curl").replaceAll("\\\n", "");
  const [, url = ""] = /(http:\S+)/.exec(text) ?? [];
  const [, type = ""] = /-H 'content-type: ([^']+)'/.exec(text) ?? [];
  const [, body = ""] = /-d '([^']+)'/.exec(text) ?? [];
  const [, answer = ""] = /^# (.*)$/m.exec(text) ?? [];
  const response = await fetch(url.replace(":7071", `:${server.httpPort}`), {
    method: "POST",
    headers: { "content-type": type },
    body,
  });
  expect(await response.json()).toEqual(JSON.parse(answer));
});

/** The block of a language that holds a text. */
function block(language: string, text: string): string {
  const [found, ...more] = blocks.filter((each) => each.language === language && each.code.includes(text));
  if (found === undefined || more.length > 0) throw new Error(`not one ${language} block with ${text}`);
  return found.code;
}

async function write(name: string, text: string): Promise<void> {
  await writeFile(join(folder, name), text);
}

/** Runs one line as a shell would, as far as the README's lines go. @returns what it wrote to stdout */
async function runLine(line: string): Promise<string> {
  const words = line.match(/'[^']*'|\S+/g)?.map((word) => word.replaceAll("'", "")) ?? [];
  const into = words.find((word) => word.startsWith(">"))?.slice(1);
  const [program = "", ...args] = words.filter((word) => !word.startsWith(">"));
  if (program === "leat-asc") {
    const compiler = join(root, "guest/assemblyscript/leat-asc.ts");
    return (await execute(process.execPath, [compiler, ...args], { cwd: folder })).stdout;
  }
  expect(program).toBe("leat");
  const env = { LEAT_ADDRESS: `127.0.0.1:${server.grpcPort}` };
  const { code, stdout, stderr } = await runCommand(args, { cwd: folder, env });
  // The record without a magnitude fails, which is what the exit code 1 says.
  const failed = stderr.includes("no_magnitude");
  expect({ code, stderr: failed ? "" : stderr }).toEqual({ code: failed ? 1 : 0, stderr: "" });
  if (into !== undefined) await writeFile(join(folder, into), stdout);
  return stdout;
}
