/**
 * Baseline: what a team writes without Leat. A connect-node service that decodes its messages and calls a
 * module in its own process, once per record.
 */

import { once } from "node:events";
import http2 from "node:http2";
import type { AddressInfo } from "node:net";
import type { MessageInitShape } from "@bufbuild/protobuf";
import { connectNodeAdapter } from "@connectrpc/connect-node";
import {
  type RecordBatch,
  type StreamTransformResponseSchema,
  type TransformResultSchema,
  TransformService,
} from "@leat/proto";
import { buildModule } from "../modules/build.ts";
import { type RunningServer, serveSubject } from "./subject.ts";

interface PlainExports {
  memory: WebAssembly.Memory;
  input: WebAssembly.Global<"i32">;
  uppercase(at: number, length: number): void;
}

async function start(): Promise<RunningServer> {
  const { instance } = await WebAssembly.instantiate(await buildModule("plain-uppercase"));
  const guest = instance.exports as unknown as PlainExports;
  const memory = new Uint8Array(guest.memory.buffer);
  const input = guest.input.value;

  function transform(batch: RecordBatch | undefined): MessageInitShape<typeof TransformResultSchema> {
    const records = batch?.records ?? [];
    for (const record of records) {
      if (!record.value) continue;
      memory.set(record.value, input);
      guest.uppercase(input, record.value.length);
      record.value = memory.slice(input, input + record.value.length);
    }
    return { batch: { records } };
  }

  const server = http2.createServer(
    connectNodeAdapter({
      routes: (router) =>
        router.service(TransformService, {
          transform: (request) => ({ result: transform(request.batch) }),
          async *streamTransform(
            requests,
          ): AsyncGenerator<MessageInitShape<typeof StreamTransformResponseSchema>> {
            for await (const { message } of requests) {
              if (message.case === "open") {
                yield { message: { case: "opened", value: { window: message.value.window } } };
              } else if (message.case === "batch") {
                const { sequence, batch } = message.value;
                yield {
                  message: {
                    case: "result",
                    value: { sequence, outcome: { case: "result", value: transform(batch) } },
                  },
                };
              }
            }
          },
        }),
    }),
  );
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address() as AddressInfo;
  return { address: `127.0.0.1:${port}`, close: async () => void server.close() };
}

serveSubject(start);
