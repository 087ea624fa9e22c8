/**
 * Leat's public protocol: every message, enum and service of `leat.v1`, and the
 * `google.rpc` error details that its calls fail with, and `grpc.health.v1`, which probes ask. Generated from the `.proto` files beside.
 *
 * @module
 */

export * from "./gen/google/rpc/error_details_pb.ts";
export { type Status as RpcStatus, StatusSchema as RpcStatusSchema } from "./gen/google/rpc/status_pb.ts";
export * from "./gen/grpc/health/v1/health_pb.ts";
export * from "./gen/leat/v1/audit_pb.ts";
export * from "./gen/leat/v1/config_pb.ts";
export * from "./gen/leat/v1/dead_letter_pb.ts";
export * from "./gen/leat/v1/metrics_pb.ts";
export * from "./gen/leat/v1/module_pb.ts";
export * from "./gen/leat/v1/pipeline_pb.ts";
export * from "./gen/leat/v1/record_pb.ts";
export * from "./gen/leat/v1/rollout_pb.ts";
export * from "./gen/leat/v1/transform_pb.ts";
