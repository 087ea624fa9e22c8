import { createConnectTransport, createGrpcTransport } from "@connectrpc/connect-node";
import { expect, test } from "vitest";
import { failureOf } from "../kit/call-error.ts";
import { checkHealth, HealthWatch } from "../kit/health.ts";
import { numbered, open, request } from "../kit/records.ts";
import { holdingLimits, startTestServer } from "../kit/test-server.ts";
import { until } from "../kit/until.ts";

test("probes are answered while a full queue, a runaway guest, streams and large loads keep the server busy", async () => {
  const maxAdmittedBatches = 65;
  await using kit = await startTestServer({
    http: true,
    limits: { ...holdingLimits, maxAdmittedBatches },
    modules: { marked: "marked", program: "program" },
  });
  const { admission } = kit.server.stats;
  const order: string[] = [];
  const runaway = await kit.hold();
  // Two streams at the most that they may send ahead, and more behind that.
  const streams = await Promise.all(
    [1, 2].map(async () => {
      const stream = kit.raw.stream();
      stream.write(open("program", { window: 32 }));
      await stream.next();
      for (let sequence = 1; sequence <= 200; sequence++) stream.write(numbered(sequence, "ma"));
      return stream;
    }),
  );
  await until(() => admission.batches === maxAdmittedBatches, "the queue is full");
  expect(await failureOf(kit.raw.transform(request("program", "ma")))).toMatchObject({
    status: "RESOURCE_EXHAUSTED",
  });
  const answers = streams.map(async (stream) => {
    await stream.next();
    order.push("batch");
  });
  const loads = Array.from({ length: 4 }, () =>
    kit.leat.modules.loadModule({ name: "large", wasm: new Uint8Array(8 << 20) }).catch(() => "refused"),
  );

  const doors = [
    createGrpcTransport({ baseUrl: `http://${kit.address}` }),
    createConnectTransport({ baseUrl: kit.url, httpVersion: "1.1" }),
  ];
  for (const transport of doors) {
    for (const service of ["", "leat.v1.TransformService", "pipeline/program", "pipeline/marked"])
      order.push(await checkHealth(transport, service));
    const watch = new HealthWatch(transport);
    await watch.says("SERVING");
    watch.close();
    await watch.ended;
  }
  for (const path of ["/healthz", "/readyz", "/readyz?verbose"])
    order.push(String((await fetch(`${kit.url}${path}`)).status));
  expect(admission.batches).toBe(maxAdmittedBatches);
  expect(order).toEqual([...new Array(8).fill("SERVING"), "200", "200", "200"]);

  await runaway.release();
  await Promise.all(answers);
  expect(await Promise.all(loads)).toEqual(new Array(4).fill("refused"));
  for (const stream of streams) {
    stream.halfClose();
    await stream.rest();
  }
});
