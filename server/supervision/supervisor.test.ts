import { type ChildProcess, spawn } from "node:child_process";
import { expect, test } from "vitest";
import { Supervisor } from "./supervisor.ts";

/** A server process that does what the script says once it shall serve, in which `say` tells the supervisor. */
function supervise(script: string) {
  const children: ChildProcess[] = [];
  const supervisor = new Supervisor({
    start: () => {
      const whole = `const say = (message) => process.send(message);
        process.on("message", ({ type }) => { if (type === "serve") { ${script} } });`;
      const child = spawn(process.execPath, ["--eval", whole], {
        stdio: ["ignore", "ignore", "ignore", "ipc"],
      });
      children.push(child);
      return child;
    },
    say: () => {},
    exitGraceMs: 100,
  });
  return { supervisor, children };
}

const hang = "Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0);";

test("a server process that has ended its work and does not exit is killed, and its exit code counts", async () => {
  const { supervisor, children } = supervise(`say({ type: "ending", code: 0 }); ${hang}`);
  expect(await supervisor.run()).toBe(0);
  expect(children.map(({ signalCode }) => signalCode)).toEqual(["SIGKILL"]);
});

test("one that exits by itself is left to it", async () => {
  const { supervisor, children } = supervise(`say({ type: "ending", code: 0 }); process.exit(0);`);
  expect(await supervisor.run()).toBe(0);
  expect(children.map(({ signalCode, exitCode }) => [signalCode, exitCode])).toEqual([[null, 0]]);
});

test("one that does not hear that it shall end at once is killed", async () => {
  const { supervisor, children } = supervise(hang);
  const ended = supervisor.run();
  supervisor.end();
  supervisor.end();
  expect(await ended).toBe(1);
  expect(children.map(({ signalCode }) => signalCode)).toEqual(["SIGKILL"]);
});
