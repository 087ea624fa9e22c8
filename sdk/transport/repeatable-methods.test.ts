import type { DescService } from "@bufbuild/protobuf";
import * as proto from "@leat/proto";
import { expect, test } from "vitest";
import { retryPolicy } from "./options.ts";
import { repeatableMethods, repetitions } from "./repeatable-methods.ts";

const exported: readonly unknown[] = Object.values(proto);
const services = exported.filter(
  (value): value is DescService =>
    typeof value === "object" && value !== null && "kind" in value && value.kind === "service",
);

test("every method of every service is said to repeat or not, and nothing else is", () => {
  expect(services.length).toBeGreaterThan(7);
  const named = repetitions.map(({ service, methods }) => [
    service.typeName,
    Object.keys(methods).toSorted(),
  ]);
  const there = services.map(({ typeName, methods }) => [
    typeName,
    methods.map(({ localName }) => localName).toSorted(),
  ]);
  expect(named.toSorted()).toEqual(there.toSorted());
});

test("all that only reads is tried again", () => {
  const reads = services
    .flatMap(({ typeName, methods }) => methods.map((method) => ({ typeName, ...method })))
    .filter(({ name, methodKind }) => methodKind === "unary" && /^(Get|List|Verify|Check|Metrics)/.test(name))
    .map(({ typeName, name }) => `${typeName}/${name}`);
  expect(reads.length).toBeGreaterThan(14);
  expect(repeatableMethods).toEqual(expect.arrayContaining(reads));
  const others = ["leat.v1.TransformService/Transform", "leat.v1.ModuleService/LoadModule"];
  expect(repeatableMethods.filter((method) => !reads.includes(method)).toSorted()).toEqual(others.toSorted());
});

test("these are what a transport tries again unless it is told otherwise", () => {
  expect([...(retryPolicy({})?.methods ?? [])]).toEqual(repeatableMethods);
});
