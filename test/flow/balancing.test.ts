/** One client over several servers: calls are spread, and a stream moves when its server drains. */

import { promises as dns } from "node:dns";
import { Leat, text } from "@leat/sdk";
import { expect, test, vi } from "vitest";
import { moduleBytes } from "../kit/modules.ts";
import { startTestServer, type TestServer } from "../kit/test-server.ts";
import { until } from "../kit/until.ts";

const modules = { program: "program" };

async function* lines(more: () => Promise<void>): AsyncGenerator<string> {
  for (let line = 0; line < 10; line++) yield `m${line}`;
  await more();
  for (let line = 10; line < 20; line++) yield `m${line}`;
}

const streamsOf = (kit: TestServer): number => kit.server.stats.admission.streams;

/** Runs a stream over two servers, of which the one that has it drains halfway. @returns what came out */
async function movingStream(leat: Leat, servers: readonly [TestServer, TestServer]): Promise<string[]> {
  const halfway = async (): Promise<void> => {
    await until(() => servers.some((kit) => streamsOf(kit) === 1), "one of them has the stream");
    const first = servers.find((kit) => streamsOf(kit) === 1);
    const other = servers.find((kit) => kit !== first);
    void first?.server.drain();
    await until(() => other !== undefined && streamsOf(other) === 1, "the other one has the stream");
  };
  const outputs: string[] = [];
  for await (const result of leat.stream("program", lines(halfway), { codec: text() }))
    outputs.push(...result.outputs);
  return outputs;
}

const expected = Array.from({ length: 20 }, (_, line) => String(line));

test("calls are spread over the addresses, and a stream goes on elsewhere when its server drains", async () => {
  await using one = await startTestServer({ modules });
  await using two = await startTestServer({ modules });
  await using leat = new Leat({ addresses: [one.address, two.address] });
  for (let call = 0; call < 20; call++) await leat.transform("program", [{ value: "ma" }]);
  const batchesOf = async (kit: TestServer): Promise<number> =>
    Number((await kit.pipelineMetrics("program")).success?.count ?? 0);
  expect(await Promise.all([one, two].map(batchesOf))).toEqual([
    expect.toSatisfy((count: number) => count > 5),
    expect.toSatisfy((count: number) => count > 5),
  ]);
  expect(await movingStream(leat, [one, two])).toEqual(expected);
});

test.skipIf(process.platform !== "linux")(
  "one name with several addresses, as of a headless service, is all of them (skipped where 127.0.0.2 is no address)",
  async () => {
    await using one = await startTestServer({ modules });
    const grpcAddress = `127.0.0.2:${one.server.grpcPort}`;
    await using two = await startTestServer({ server: { grpcAddress } });
    await using loader = new Leat(grpcAddress);
    await loader.modules.loadModule({ name: "program", wasm: await moduleBytes("program") });
    await loader.pipelines.putPipeline({ pipeline: { name: "program", stages: [{ module: "program" }] } });
    const name = "leat-headless.test";
    const addresses = ["127.0.0.1", "127.0.0.2"].map((address) => ({ address, family: 4 }));
    const { lookup } = dns;
    using _ = vi
      .spyOn(dns, "lookup")
      .mockImplementation(((host: string, options: object) =>
        host === name ? Promise.resolve(addresses) : lookup(host, options)) as typeof lookup);
    await using leat = new Leat({ address: `${name}:${one.server.grpcPort}` });
    expect(await movingStream(leat, [one, two])).toEqual(expected);
  },
);
