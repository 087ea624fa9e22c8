/** Baseline: the Extism JS SDK in a grpc-js service. Plug-ins run in worker mode and take one record a call. */

import { availableParallelism } from "node:os";
import { create, fromBinary, type MessageInitShape, toBinary } from "@bufbuild/protobuf";
import createPlugin, { type Plugin } from "@extism/extism";
import {
  type RecordBatch,
  StreamTransformRequestSchema,
  StreamTransformResponseSchema,
  TransformRequestSchema,
  TransformResponseSchema,
  type TransformResultSchema,
} from "@leat/proto";
import { buildModule } from "../modules/build.ts";
import { serveRaw } from "./raw-service.ts";
import { serveSubject } from "./subject.ts";

/** One plug-in and its queue: a plug-in takes one call at a time. */
class Lane {
  #plugin: Plugin;
  #last: Promise<unknown> = Promise.resolve();

  constructor(plugin: Plugin) {
    this.#plugin = plugin;
  }

  run(batch: RecordBatch | undefined): Promise<MessageInitShape<typeof TransformResultSchema>> {
    const result = this.#last.then(() => this.#transform(batch));
    this.#last = result.catch(() => {});
    return result;
  }

  async #transform(batch: RecordBatch | undefined): Promise<MessageInitShape<typeof TransformResultSchema>> {
    const records = batch?.records ?? [];
    for (const record of records) {
      if (!record.value) continue;
      const output = await this.#plugin.call("uppercase", record.value);
      record.value = output?.bytes().slice() ?? new Uint8Array();
    }
    // Gives the calls' blocks back. Without it each call is slower than the last; after every single call it costs more.
    await this.#plugin.reset();
    return { batch: { records } };
  }
}

serveSubject(async () => {
  const data = await buildModule("extism-uppercase");
  const lanes = await Promise.all(
    // As many as Leat has workers.
    Array.from({ length: Math.max(1, availableParallelism() - 1) }, async () => {
      return new Lane(await createPlugin({ wasm: [{ data }] }, { runInWorker: true }));
    }),
  );
  let turn = 0;
  const run = (batch: RecordBatch | undefined) => {
    const lane = lanes[turn++ % lanes.length];
    if (!lane) throw new Error("no plug-in");
    return lane.run(batch);
  };

  return serveRaw({
    Transform: async (call, callback) => {
      const { batch } = fromBinary(TransformRequestSchema, call.request);
      const response = create(TransformResponseSchema, { result: await run(batch) });
      callback(null, Buffer.from(toBinary(TransformResponseSchema, response)));
    },
    StreamTransform: (call) => {
      // Results leave in order, whichever lane is first.
      let sent: Promise<unknown> = Promise.resolve();
      const send = (message: MessageInitShape<typeof StreamTransformResponseSchema>["message"]) => {
        const response = create(StreamTransformResponseSchema, message ? { message } : {});
        call.write(Buffer.from(toBinary(StreamTransformResponseSchema, response)));
      };
      call.on("data", (bytes: Buffer) => {
        const { message } = fromBinary(StreamTransformRequestSchema, bytes);
        if (message.case === "open") {
          send({ case: "opened", value: { window: message.value.window } });
        } else if (message.case === "batch") {
          const { sequence, batch } = message.value;
          const result = run(batch);
          sent = sent.then(async () =>
            send({ case: "result", value: { sequence, outcome: { case: "result", value: await result } } }),
          );
        }
      });
      call.on("end", () => void sent.then(() => call.end()));
    },
  });
});
