import { Code } from "@connectrpc/connect";
import { compressionAlgorithms } from "@grpc/grpc-js";
import { expect, test } from "vitest";
import { channelOptions, retryPolicy } from "./options.ts";

const byName = { ips: [] };

test("keepalive is on by default, follows its options, and can be turned off", () => {
  expect(channelOptions({}, byName)).toMatchObject({
    "grpc.keepalive_time_ms": 30_000,
    "grpc.keepalive_timeout_ms": 10_000,
    "grpc.keepalive_permit_without_calls": 0,
  });
  const keepalive = { timeMs: 5, timeoutMs: 6, permitWithoutCalls: true };
  expect(channelOptions({ keepalive }, byName)).toMatchObject({
    "grpc.keepalive_time_ms": 5,
    "grpc.keepalive_timeout_ms": 6,
    "grpc.keepalive_permit_without_calls": 1,
  });
  expect(channelOptions({ keepalive: false }, byName)).not.toHaveProperty(["grpc.keepalive_time_ms"]);
});

test("the retry policy covers the methods that may run twice, and no others", () => {
  const policy = retryPolicy({});
  expect(policy).toMatchObject({ maxAttempts: 4, initialMs: 100, maxMs: 2_000, factor: 2 });
  expect(policy?.codes).toEqual(new Set([Code.Unavailable]));
  expect(policy?.methods).toContain("leat.v1.TransformService/Transform");
  expect(policy?.methods).not.toContain("leat.v1.TransformService/StreamTransform");
  expect(policy?.methods).not.toContain("leat.v1.PipelineService/PutPipeline");
});

test("retries are the SDK's, not the channel's, and can be turned off", () => {
  const config = channelOptions({}, byName)["grpc.service_config"] ?? "";
  expect(JSON.parse(config).methodConfig).toEqual([]);
  expect(retryPolicy({ retry: false })).toBeUndefined();
  expect(channelOptions({ retry: false }, byName)["grpc.enable_retries"]).toBe(0);
});

test.each([
  { maxAttempts: 0 },
  { initialMs: -1 },
  { factor: 0.5 },
  { maxRetryAfterMs: Number.NaN },
  { budget: { tokens: -1 } },
])("a retry policy of %j is refused", (retry) => {
  expect(() => retryPolicy({ retry })).toThrow(RangeError);
});

test("load balancing, compression, limits and the server's name reach the channel", () => {
  const options = channelOptions(
    {
      loadBalancing: "pick_first",
      compression: "gzip",
      maxReceiveMessageBytes: 7,
      maxSendMessageBytes: 8,
      tls: { serverName: "leat.test" },
    },
    byName,
  );
  expect(JSON.parse(options["grpc.service_config"] ?? "").loadBalancingConfig).toEqual([{ pick_first: {} }]);
  expect(options).toMatchObject({
    "grpc.default_compression_algorithm": compressionAlgorithms.gzip,
    "grpc.max_receive_message_length": 7,
    "grpc.max_send_message_length": 8,
    "grpc.ssl_target_name_override": "leat.test",
  });
});

test("an option of grpc-js wins over the SDK's own", () => {
  const options = channelOptions({ channelOptions: { "grpc.keepalive_time_ms": 1 } }, byName);
  expect(options["grpc.keepalive_time_ms"]).toBe(1);
});
