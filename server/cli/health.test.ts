import { afterAll, beforeAll, expect, test } from "vitest";
import { callCommand } from "../../test/kit/call-command.ts";
import { runCommand } from "../../test/kit/leat-command.ts";
import { startTestServer, type TestServer } from "../../test/kit/test-server.ts";

let kit: TestServer;

beforeAll(async () => {
  kit = await startTestServer({ modules: { plain: "program" } });
});

afterAll(async () => {
  await kit[Symbol.asyncDispose]();
});

async function health(...args: string[]): Promise<[number | null, string, string]> {
  const { code, stdout, stderr } = await callCommand(["--address", kit.address, "health", ...args]);
  return [code, stdout, stderr];
}

test("a server and a pipeline that serve are told with exit code 0", async () => {
  expect(await Promise.all([health(), health("--pipeline", "plain"), health("--timeout", "3s")])).toEqual(
    new Array(3).fill([0, "serving\n", ""]),
  );
});

test("what does not serve, is not there or does not answer is told with exit code 1", async () => {
  kit.server.registry.heldEntry = () => ({
    digest: "",
    strikes: 1,
    sinceMs: 0,
    heldUntilMs: "released",
    why: "it made V8 abort",
  });
  const answers = await Promise.all([
    health("--pipeline", "plain"),
    health("--pipeline", "none"),
    runCommand(["health", "--address", "127.0.0.1:1"]).then(({ code, stdout, stderr }) => [
      code,
      stdout,
      stderr,
    ]),
  ]);
  expect(answers).toEqual([
    [1, "", "leat: not serving; GET /readyz?verbose tells why\n"],
    [1, "", expect.stringContaining("HEALTH_SERVICE_UNKNOWN: no service or pipeline pipeline/none")],
    [1, "", expect.stringContaining("no server answers at 127.0.0.1:1")],
  ]);
});

test("a time that is none, and both a pipeline and a service, are mistakes of usage", async () => {
  const answers = await Promise.all([health("--timeout", "soon"), health("-p", "plain", "--service", "x")]);
  expect(answers.map(([code]) => code)).toEqual([2, 2]);
});
