/** Every RPC on both doors, called by everybody: each gets the answer that the table of roles says. */

import type { DescFile, DescMethod, DescService } from "@bufbuild/protobuf";
import { Code, ConnectError, createClient, type Transport } from "@connectrpc/connect";
import {
  createConnectTransport,
  createGrpcTransport,
  createGrpcWebTransport,
} from "@connectrpc/connect-node";
import * as protocol from "@leat/proto";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { needOf } from "../../server/access/method-needs.ts";
import { type GuardedServer, startGuarded } from "../kit/access.ts";
import { failureOf } from "../kit/call-error.ts";

/** Every method of the public protocol, from its descriptors. */
const methods: readonly DescMethod[] = Object.values(protocol)
  .filter(
    (each): each is DescFile =>
      typeof each === "object" && "kind" in each && (each as DescFile).kind === "file",
  )
  .flatMap(({ services }) => services)
  // Health is for everybody: its tests are below.
  .filter(({ typeName }) => typeName.startsWith("leat."))
  .flatMap((service) => service.methods);

const pathOf = (method: DescMethod): string => `${method.parent.typeName}/${method.name}`;

type Least = "data" | "operator" | "admin";
/** What a caller with grants for other pipelines alone gets. */
type Elsewhere = "in" | "ROLE_MISSING" | "PIPELINE_FORBIDDEN";

/** What is promised of methods, beside what the server's own table says of the others: the least role, what becomes of a caller from elsewhere, and a request about the pipeline `mine`. */
const promises: Readonly<Record<string, readonly [Least, Elsewhere, object?]>> = {
  "leat.v1.TransformService/Transform": [
    "data",
    "PIPELINE_FORBIDDEN",
    { target: { target: { case: "pipeline", value: "mine" } } },
  ],
  "leat.v1.TransformService/StreamTransform": [
    "data",
    "PIPELINE_FORBIDDEN",
    { message: { case: "open", value: { target: { target: { case: "pipeline", value: "mine" } } } } },
  ],
  "leat.v1.ModuleService/LoadModule": ["operator", "ROLE_MISSING"],
  "leat.v1.ModuleService/UploadModule": ["operator", "ROLE_MISSING"],
  "leat.v1.ModuleService/ActivateModule": ["operator", "ROLE_MISSING", { reference: "none" }],
  "leat.v1.ModuleService/RollbackModule": ["operator", "ROLE_MISSING", { name: "none" }],
  "leat.v1.ModuleService/GetModuleHistory": ["operator", "in", { name: "none" }],
  "leat.v1.ModuleService/ListModules": ["operator", "in"],
  "leat.v1.ModuleService/GetModule": ["data", "in", { reference: "none" }],
  "leat.v1.ModuleService/UnloadModule": ["operator", "ROLE_MISSING", { reference: "none" }],
  "leat.v1.ModuleService/ReleaseModule": ["admin", "ROLE_MISSING", { reference: "none" }],
  "leat.v1.PipelineService/PutPipeline": ["operator", "PIPELINE_FORBIDDEN", { pipeline: { name: "mine" } }],
  "leat.v1.PipelineService/GetPipeline": ["data", "PIPELINE_FORBIDDEN", { name: "mine" }],
  "leat.v1.PipelineService/ListPipelines": ["data", "in"],
  "leat.v1.PipelineService/ListPipelineRevisions": ["operator", "PIPELINE_FORBIDDEN", { name: "mine" }],
  "leat.v1.PipelineService/RollbackPipeline": ["operator", "PIPELINE_FORBIDDEN", { name: "mine" }],
  "leat.v1.PipelineService/DeletePipeline": ["operator", "PIPELINE_FORBIDDEN", { name: "mine" }],
  "leat.v1.MetricsService/Metrics": ["operator", "PIPELINE_FORBIDDEN"],
  "leat.v1.MetricsService/WatchMetrics": ["operator", "PIPELINE_FORBIDDEN", { pipeline: "mine" }],
  "leat.v1.DeadLetterService/ListDeadLetters": ["operator", "PIPELINE_FORBIDDEN"],
  "leat.v1.DeadLetterService/GetDeadLetter": ["operator", "in", { id: "none" }],
  "leat.v1.DeadLetterService/ReplayDeadLetters": [
    "operator",
    "PIPELINE_FORBIDDEN",
    { filter: { pipeline: "mine" } },
  ],
  "leat.v1.ConfigService/GetConfig": ["admin", "ROLE_MISSING"],
  "leat.v1.ConfigService/ReloadConfig": ["admin", "ROLE_MISSING"],
  "leat.v1.ConfigService/SetConfig": [
    "admin",
    "ROLE_MISSING",
    { values: { "log.level": "error" }, dryRun: true },
  ],
  "leat.v1.AuditService/ListAuditEntries": ["admin", "ROLE_MISSING"],
  "leat.v1.AuditService/GetAuditEntry": ["admin", "ROLE_MISSING", { sequence: 1n }],
  "leat.v1.AuditService/VerifyAudit": ["admin", "ROLE_MISSING"],
  "leat.v1.DeadLetterService/PurgeDeadLetters": [
    "operator",
    "PIPELINE_FORBIDDEN",
    { filter: { pipeline: "mine" } },
  ],
};

const ranks: readonly Least[] = ["data", "operator", "admin"];
const callers = ["nobody", "wrong token", "expired", "data", "operator", "admin", "elsewhere"] as const;
type Caller = (typeof callers)[number];

/** What the server's table promises of a method, called with an empty request. */
function listed(method: DescMethod): readonly [Least, Elsewhere] {
  const found = needOf(pathOf(method));
  if (found.t !== "role") throw new Error(`${pathOf(method)} is not in the table`);
  const { role, pipelines } = found.need;
  if (pipelines === "all") return [role, "ROLE_MISSING"];
  return [role, pipelines === "some" ? "in" : "PIPELINE_FORBIDDEN"];
}

/** What a call must come to: a reason, or `in` for whatever is no refusal. */
function promised(method: DescMethod, caller: Caller): string {
  const [least, elsewhere] = promises[pathOf(method)] ?? listed(method);
  switch (caller) {
    case "nobody":
      return "UNAUTHENTICATED CREDENTIALS_MISSING";
    case "wrong token":
      return "UNAUTHENTICATED CREDENTIALS_INVALID";
    case "expired":
      return "UNAUTHENTICATED CREDENTIALS_EXPIRED";
    case "elsewhere":
      return elsewhere === "in" ? "in" : `PERMISSION_DENIED ${elsewhere}`;
    default:
      return ranks.indexOf(caller) >= ranks.indexOf(least) ? "in" : "PERMISSION_DENIED ROLE_MISSING";
  }
}

/** Calls a method and takes its first answer. @returns `in`, or how it was refused */
async function outcome(transport: Transport, method: DescMethod, token: string | undefined): Promise<string> {
  const client = createClient(method.parent as DescService, transport) as unknown as Record<
    string,
    (request: unknown, options: object) => unknown
  >;
  const headers = token === undefined ? {} : { authorization: `Bearer ${token}` };
  const request = promises[pathOf(method)]?.[2] ?? {};
  const streamsIn = method.methodKind === "bidi_streaming" || method.methodKind === "client_streaming";
  const abort = new AbortController();
  try {
    const call = client[method.localName]?.(streamsIn ? once(request) : request, {
      headers,
      signal: abort.signal,
    });
    if (method.methodKind === "unary" || method.methodKind === "client_streaming") await call;
    else for await (const _ of call as AsyncIterable<unknown>) break;
    return "in";
  } catch (thrown) {
    const error = ConnectError.from(thrown);
    const { code } = error;
    if (code !== Code.Unauthenticated && code !== Code.PermissionDenied) return "in";
    const [info] = error.findDetails(protocol.ErrorInfoSchema);
    return `${code === Code.Unauthenticated ? "UNAUTHENTICATED" : "PERMISSION_DENIED"} ${info?.reason}`;
  } finally {
    abort.abort();
  }
}

async function* once<Value>(value: Value): AsyncGenerator<Value> {
  yield value;
}

let server: GuardedServer;
let tokenOf: Readonly<Record<Caller, string | undefined>>;

beforeAll(async () => {
  server = await startGuarded();
  const { tokens, issuer } = server;
  tokenOf = {
    nobody: undefined,
    "wrong token": `${tokens.admin}x`,
    expired: await issuer.sign({ groups: ["mill"] }, new Date(Date.now() - 3_600_000)),
    data: tokens.data,
    operator: tokens.operator,
    admin: tokens.admin,
    elsewhere: tokens.elsewhere,
  };
});

afterAll(async () => {
  await server[Symbol.asyncDispose]();
});

const doors = {
  gRPC: () => createGrpcTransport({ baseUrl: `http://${server.kit.address}` }),
  "gRPC on the HTTP port": () => createGrpcTransport({ baseUrl: server.kit.url }),
  "gRPC-Web": () => createGrpcWebTransport({ baseUrl: server.kit.url, httpVersion: "2" }),
  Connect: () => createConnectTransport({ baseUrl: server.kit.url, httpVersion: "2" }),
} as const;

test("every RPC of the protocol is in the server's table", () => {
  expect(methods.length).toBeGreaterThan(15);
  expect(methods.map(pathOf).filter((path) => needOf(path).t !== "role")).toEqual([]);
  const names = new Set(methods.map(pathOf));
  expect(Object.keys(promises).filter((path) => !names.has(path))).toEqual([]);
});

describe.each(Object.entries(doors))("through %s", (_, transport) => {
  test.each(methods.map((method) => [pathOf(method), method] as const))("%s", async (_path, method) => {
    const via = transport();
    const came = await Promise.all(
      callers.map(async (caller) => [caller, await outcome(via, method, tokenOf[caller])] as const),
    );
    expect(came).toEqual(callers.map((caller) => [caller, promised(method, caller)]));
  });
});

describe("what comes from libraries", () => {
  test("health is open, and an access file that does not say so closes it", async () => {
    const { response } = server.kit.raw.call("/grpc.health.v1.Health/Check", Buffer.alloc(0));
    expect((await response).length).toBeGreaterThan(0);
    await using closed = await startGuarded({ http: true });
    closed.folder.write("access.yaml", `${closed.accessText}\nopen: [reflection]`);
    await using again = await startGuarded({
      server: { accessFile: closed.accessFile },
      client: { token: closed.tokens.admin },
    });
    const refused = await failureOf(
      again.kit.raw.call("/grpc.health.v1.Health/Check", Buffer.alloc(0)).response,
    );
    expect(refused).toMatchObject({ status: "UNAUTHENTICATED", reason: "CREDENTIALS_MISSING" });
    expect((await fetch(`${again.kit.url}/readyz`)).status).toBe(401);
    const headers = { authorization: `Bearer ${closed.tokens.data}` };
    expect((await fetch(`${again.kit.url}/readyz`, { headers })).status).toBe(200);
  });

  test("health tells anybody of what they can name, and lists pipelines to those who may use them", async () => {
    const { kit, tokens } = server;
    await kit.load("plain", "program");
    await kit.put("mine", ["plain"]);
    for (const baseUrl of [`http://${kit.address}`, kit.url]) {
      const client = createClient(protocol.Health, createGrpcTransport({ baseUrl }));
      const listed = async (token?: string): Promise<string[]> => {
        const headers = token === undefined ? {} : { authorization: `Bearer ${token}` };
        const { statuses } = await client.list({}, { headers });
        return Object.keys(statuses).filter((name) => name.startsWith("pipeline/"));
      };
      expect((await client.check({ service: "pipeline/mine" })).status).toBe(1);
      expect(await listed()).toEqual([]);
      expect(await listed(`${tokens.data}x`)).toEqual([]);
      expect(await listed(tokens.elsewhere)).toEqual([]);
      expect(await listed(tokens.narrow)).toEqual(["pipeline/mine"]);
      expect(await listed(tokens.data)).toEqual(["pipeline/mine"]);
    }
  });

  test("reflection needs a role", async () => {
    const ask = (metadata: Record<string, string>) =>
      new Promise<string>((resolve) => {
        const call = server.kit.raw.serverStream(
          "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo",
          Buffer.from([0x3a, 0x00]),
          { metadata },
        );
        call.on("data", () => resolve("answered"));
        call.on("error", (error) => resolve(error.message));
      });
    expect(await ask({})).toContain("UNAUTHENTICATED");
    expect(await ask({ authorization: `Bearer ${server.tokens.data}` })).toBe("answered");
  });

  test("/metrics needs an operator of all pipelines; /healthz needs nobody", async () => {
    const status = async (path: string, token?: string): Promise<number> => {
      const headers = token === undefined ? {} : { authorization: `Bearer ${token}` };
      return (await fetch(`${server.kit.url}${path}`, { headers })).status;
    };
    expect(await status("/healthz")).toBe(200);
    expect(await status("/metrics")).toBe(401);
    expect(await status("/metrics", server.tokens.data)).toBe(403);
    expect(await status("/metrics", server.tokens.elsewhere)).toBe(403);
    expect(await status("/metrics", server.tokens.operator)).toBe(200);
  });
});
