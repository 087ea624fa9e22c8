import { once } from "node:events";
import { fileURLToPath } from "node:url";
import {
  create,
  createFileRegistry,
  type FileRegistry,
  fromBinary,
  fromJson,
  toBinary,
  toJson,
} from "@bufbuild/protobuf";
import {
  type FileDescriptorProto,
  FileDescriptorProtoSchema,
  FileDescriptorSetSchema,
} from "@bufbuild/protobuf/wkt";
import {
  Client,
  type ClientDuplexStream,
  credentials,
  loadPackageDefinition,
  type ServiceClientConstructor,
  status,
} from "@grpc/grpc-js";
import { load } from "@grpc/proto-loader";
import { afterAll, beforeAll, expect, test } from "vitest";
import { startTestServer, type TestServer } from "../kit/test-server.ts";

let kit: TestServer;

beforeAll(async () => {
  kit = await startTestServer({ modules: { program: "program" } });
});

afterAll(async () => {
  await kit[Symbol.asyncDispose]();
});

interface Asked {
  readonly list_services?: string;
  readonly file_containing_symbol?: string;
}

interface Told {
  readonly list_services_response?: { service: { name: string }[] };
  readonly file_descriptor_response?: { file_descriptor_proto: Buffer[] };
  readonly error_response?: { error_code: number; error_message: string };
}

/** Asks as grpcurl does, with nothing but the reflection service's own definition at hand. */
async function ask(version: "v1" | "v1alpha", question: Asked, address = kit.address): Promise<Told> {
  const proto = `grpc/reflection/${version}/reflection.proto`;
  const root = new URL(`build/proto/${proto}`, import.meta.resolve("@grpc/reflection/package.json"));
  const definition = await load(fileURLToPath(root), { keepCase: true, oneofs: true });
  const service = definition[`grpc.reflection.${version}.ServerReflection`];
  if (service === undefined) throw new Error("no such reflection service");
  const loaded = loadPackageDefinition(definition) as unknown as {
    grpc: { reflection: Record<string, { ServerReflection: ServiceClientConstructor }> };
  };
  const ReflectionClient = loaded.grpc.reflection[version]?.ServerReflection;
  if (ReflectionClient === undefined) throw new Error("no such client");
  const client = new ReflectionClient(address, credentials.createInsecure());
  const info = (client as unknown as Record<string, () => ClientDuplexStream<Asked, Told>>)[
    "ServerReflectionInfo"
  ];
  const call = info?.call(client);
  if (call === undefined) throw new Error("no such method");
  call.write(question);
  call.end();
  const answers: Told[] = [];
  for await (const answer of call) answers.push(answer as Told);
  client.close();
  return answers[0] ?? {};
}

/** All messages and services of a symbol, from the server alone. */
async function registryOf(symbol: string): Promise<FileRegistry> {
  const told = await ask("v1", { file_containing_symbol: symbol });
  const files = new Map<string, FileDescriptorProto>();
  for (const bytes of told.file_descriptor_response?.file_descriptor_proto ?? []) {
    const file = fromBinary(FileDescriptorProtoSchema, bytes);
    files.set(file.name, file);
  }
  return createFileRegistry(create(FileDescriptorSetSchema, { file: inOrder(files) }));
}

/** Each file after those that it imports. */
function inOrder(files: Map<string, FileDescriptorProto>): FileDescriptorProto[] {
  const sorted = new Set<FileDescriptorProto>();
  const visit = (file: FileDescriptorProto | undefined): void => {
    if (file === undefined || sorted.has(file)) return;
    for (const name of file.dependency) visit(files.get(name));
    sorted.add(file);
  };
  for (const file of files.values()) visit(file);
  return [...sorted];
}

test.each(["v1", "v1alpha"] as const)("%s lists the services", async (version) => {
  const told = await ask(version, { list_services: "" });
  expect(told.list_services_response?.service.map(({ name }) => name)).toEqual(
    expect.arrayContaining([
      "leat.v1.TransformService",
      "leat.v1.ModuleService",
      "leat.v1.PipelineService",
      "leat.v1.MetricsService",
    ]),
  );
});

test("the first calls, which load the library, are answered as later ones", async () => {
  await using fresh = await startTestServer();
  const [first, second] = await Promise.all(
    (["v1", "v1alpha"] as const).map((version) => ask(version, { list_services: "" }, fresh.address)),
  );
  expect(first?.list_services_response?.service.length).toBeGreaterThan(0);
  expect(second).toEqual(first);
});

test("a request that is none fails its own call", async () => {
  const client = new Client(kit.address, credentials.createInsecure());
  const asItIs = (bytes: Buffer): Buffer => bytes;
  const path = "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo";
  const call = client.makeBidiStreamRequest(path, asItIs, asItIs);
  call.resume();
  call.write(Buffer.of(0xff, 0xff));
  const [error] = await once(call, "error");
  expect(error).toMatchObject({ code: status.INTERNAL });
  client.close();
  expect((await ask("v1", { list_services: "" })).list_services_response).toBeDefined();
});

test("a client that has nothing but the server's own description transforms a record", async () => {
  const registry = await registryOf("leat.v1.TransformService");
  const service = registry.getService("leat.v1.TransformService");
  const method = service?.method["transform"];
  if (method === undefined) throw new Error("no Transform");
  const request = fromJson(method.input, {
    target: { pipeline: "program" },
    batch: { records: [{ value: Buffer.from("2ab").toString("base64") }, { key: "aw==" }] },
  });
  const bytes = await kit.raw.call(
    `/${method.parent.typeName}/${method.name}`,
    toBinary(method.input, request),
  ).response;
  expect(toJson(method.output, fromBinary(method.output, bytes))).toEqual({
    result: {
      batch: {
        records: [
          { value: Buffer.from("ab").toString("base64") },
          { value: Buffer.from("b").toString("base64") },
          { key: "aw==" },
        ],
      },
      fanout: [2, 1],
    },
  });
});

test.each([
  "leat.v1.StreamTransformRequest",
  "leat.v1.MetricsSnapshot",
  "leat.v1.TransformService.Transform",
])("%s is found by name", async (symbol) => {
  const told = await ask("v1", { file_containing_symbol: symbol });
  expect(told.file_descriptor_response?.file_descriptor_proto.length).toBeGreaterThan(0);
});

test("an unknown symbol is told apart", async () => {
  const told = await ask("v1", { file_containing_symbol: "leat.v1.NoSuchThing" });
  expect(told.error_response?.error_code).toBe(5);
});
