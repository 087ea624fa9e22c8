import { compressionAlgorithms } from "@grpc/grpc-js";
import { expect, test } from "vitest";
import { channelOptions } from "./options.ts";

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
  const config = JSON.parse(channelOptions({}, byName)["grpc.service_config"] ?? "");
  const names = config.methodConfig[0].name;
  expect(names).toContainEqual({ service: "leat.v1.TransformService", method: "Transform" });
  expect(names).not.toContainEqual({ service: "leat.v1.TransformService", method: "StreamTransform" });
  expect(names).not.toContainEqual({ service: "leat.v1.PipelineService", method: "PutPipeline" });
  expect(config.methodConfig[0].retryPolicy).toEqual({
    maxAttempts: 4,
    initialBackoff: "0.1s",
    maxBackoff: "2s",
    backoffMultiplier: 2,
    retryableStatusCodes: [14],
  });
});

test("retries can be turned off", () => {
  const options = channelOptions({ retry: false }, byName);
  expect(JSON.parse(options["grpc.service_config"] ?? "").methodConfig).toEqual([]);
  expect(options["grpc.enable_retries"]).toBe(0);
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
