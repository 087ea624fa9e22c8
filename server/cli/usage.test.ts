import { describe, expect, test } from "vitest";
import { callCommand } from "../../test/kit/call-command.ts";
import { runCommand } from "../../test/kit/leat-command.ts";
import { serverVersion } from "../version.ts";

describe("leat", () => {
  test("shows its version and its help on stdout, with exit code 0", async () => {
    expect(await runCommand(["--version"])).toMatchObject({
      code: 0,
      stdout: `${serverVersion}\n`,
      stderr: "",
    });
    const help = await callCommand(["--help"]);
    expect(help).toMatchObject({ code: 0, stderr: "" });
    expect(help.stdout).toMatch(/^Usage: leat \[options\] \[command\]/);
  });

  test.each([
    ["serve"],
    ["module"],
    ["module load"],
    ["module list"],
    ["module show"],
    ["module unload"],
    ["module activate"],
    ["module rollback"],
    ["module history"],
    ["rollout"],
    ["rollout start"],
    ["rollout show"],
    ["pipeline"],
    ["pipeline apply"],
    ["pipeline list"],
    ["pipeline show"],
    ["pipeline delete"],
    ["audit"],
    ["audit list"],
    ["audit show"],
    ["audit verify"],
    ["transform"],
    ["run"],
    ["bench"],
  ])("gives help on %s, with an example", async (words) => {
    const help = await callCommand([...words.split(" "), "--help"]);
    expect(help).toMatchObject({ code: 0, stderr: "" });
    expect(help.stdout).toContain(`Usage: leat ${words}`);
    expect(help.stdout).toContain(`\n  leat ${words} `.trimEnd());
  });

  test.each([
    ["no command", "", /Usage: leat/],
    ["a command that is none", "modul list", /unknown command 'modul'.*Did you mean module\?/s],
    ["an option that is none", "module list --jsn", /unknown option '--jsn'.*Did you mean --json\?/s],
    ["a missing argument", "module show", /missing required argument 'MODULE'/],
    [
      "a value out of range",
      "bench -m a --streams 0",
      /'--streams <N>' argument '0' is invalid\. Give a whole number/,
    ],
    ["a format that is none", "transform -p a --format xml", /Allowed choices are ndjson, lines, binary/],
    ["no target", "transform", /say what to run: --pipeline NAME, or --module MODULE/],
    ["two kinds of target", "transform -p a -m b", /cannot be used with option/],
    ["two kinds of load", "bench -p a --streams 1 --callers 1", /--streams and --callers exclude each other/],
    ["an address that is none", "module list --address nowhere", /--address: not an address: "nowhere"/],
    ["a configuration that is no JSON", "run a.wasm --config {", /--config: .*JSON/],
  ])("exits with 2 on %s, and says so on stderr alone", async (_, words, message) => {
    const run = await callCommand(words === "" ? [] : words.split(" "));
    expect(run).toMatchObject({ code: 2, stdout: "" });
    expect(run.stderr).toMatch(message);
  });

  test("tells an older Node which one it needs", async () => {
    const older =
      "Object.defineProperty(process, 'versions', { value: { ...process.versions, node: '20.1.0' } })";
    const run = await runCommand(["--help"], {
      env: { NODE_OPTIONS: `--import=data:text/javascript,${encodeURIComponent(older)}` },
    });
    expect(run).toMatchObject({ code: 1, stdout: "" });
    expect(run.stderr).toMatch(/^leat: needs Node 26 or newer; this is Node 20\.1\.0 \(.+\)\. /);
  });
});
