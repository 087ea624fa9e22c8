/** What becomes of callers over time: tokens that expire, files that change, issuers that are away; and what is told of them. */

import { once } from "node:events";
import { createServer, request as httpRequest, type IncomingMessage, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { createClient } from "@connectrpc/connect";
import { createConnectTransport } from "@connectrpc/connect-node";
import { ListDeadLettersRequestSchema, ListDeadLettersResponseSchema, PipelineService } from "@leat/proto";
import { Leat, LeatCallError, type TargetInput } from "@leat/sdk";
import { afterEach, expect, test } from "vitest";
import { systemClock } from "../../server/clock.ts";
import { defaultLimits } from "../../server/limits.ts";
import { createLogger } from "../../server/telemetry/logger.ts";
import { digestLine, type GuardedServer, makeIssuer, startGuarded, type TestIssuer } from "../kit/access.ts";
import { failureOf } from "../kit/call-error.ts";
import { inlineTarget, numbered, open, request } from "../kit/records.ts";
import { until } from "../kit/until.ts";

/** The machine's clock, which tests put forward. */
const clock = {
  aheadMs: 0,
  nowMs: () => systemClock.nowMs() + clock.aheadMs,
  wallMs: () => systemClock.wallMs() + clock.aheadMs,
};
afterEach(() => {
  clock.aheadMs = 0;
});

/** A module in quarantine. */
const held = {
  digest: `sha256:${"a".repeat(64)}`,
  sinceMs: 0,
  heldUntilMs: 8.64e15,
  why: "it made V8 abort",
  strikes: 1,
};

const modules = { program: "program" };
const bearer = (token: string): { metadata: { authorization: string } } => ({
  metadata: { authorization: `Bearer ${token}` },
});

async function startMill(options: Parameters<typeof startGuarded>[0] = {}): Promise<GuardedServer> {
  const guarded = await startGuarded({ modules, clock, limits: { accessCheckMs: 10 }, ...options });
  await guarded.kit.put("mine", ["program"]);
  await guarded.kit.put("other-1", ["program"]);
  return guarded;
}

/** What a call with a token comes to. */
async function outcome({ kit }: GuardedServer, token: string, pipeline = "mine"): Promise<string> {
  return kit.raw.transform(request(pipeline, "ma"), bearer(token)).then(
    () => "in",
    async (error) => (await failureOf(Promise.reject(error))).reason,
  );
}

/** An hour from now. */
const soon = (): Date => new Date(systemClock.wallMs() + 3_600_000);

test("a grant for pipelines holds for those, and for no chain that a call brings along", async () => {
  await using server = await startMill();
  const { kit, tokens } = server;
  const run = async (token: string, target: TargetInput): Promise<string> => {
    await using leat = new Leat({ address: kit.address, token });
    const unary = await leat.transform(target, [{ value: "ma" }]).then(
      () => "in",
      (error: LeatCallError) => error.reason,
    );
    const streamed = await Array.fromAsync(leat.stream(target, [[{ value: "ma" }]])).then(
      () => "in",
      (error: LeatCallError) => error.reason,
    );
    expect(streamed).toBe(unary);
    return unary;
  };
  const chain = { modules: ["program"] };
  expect(await run(tokens.narrow, "mine")).toBe("in");
  expect(await run(tokens.narrow, "other-1")).toBe("PIPELINE_FORBIDDEN");
  // Whether it is there is nobody's business who may not call it.
  expect(await run(tokens.narrow, "not-there")).toBe("PIPELINE_FORBIDDEN");
  expect(await run(tokens.narrow, chain)).toBe("INLINE_CHAIN_FORBIDDEN");
  expect(await run(tokens.data, "other-1")).toBe("in");
  expect(await run(tokens.data, chain)).toBe("INLINE_CHAIN_FORBIDDEN");
  expect(await run(tokens.elsewhere, chain)).toBe("INLINE_CHAIN_FORBIDDEN");
  expect(await run(tokens.operator, chain)).toBe("in");
  const { metadata } = await failureOf(
    kit.raw.transform({ ...request("mine", "ma"), target: inlineTarget("program") }, bearer(tokens.data)),
  );
  expect(metadata).toEqual({});
});

test("a call is refused before its message is there, on both ports", async () => {
  await using server = await startMill();
  const { kit } = server;
  // Nothing but headers is sent.
  expect(await kit.raw.stream().ended).toMatchObject({ failure: { reason: "CREDENTIALS_MISSING" } });
  const path = "/leat.v1.ModuleService/LoadModule";
  const headers = { "content-type": "application/proto", "content-length": 50_000_000 };
  const call = httpRequest(`${kit.url}${path}`, { method: "POST", headers });
  call.flushHeaders();
  const [response] = (await once(call, "response")) as [IncomingMessage];
  expect(response.statusCode).toBe(401);
  call.on("error", () => undefined);
  call.destroy();
});

test("/readyz names what does not run only to callers who say who they are", async () => {
  await using server = await startMill();
  const { kit, folder, accessText, tokens } = server;
  kit.server.registry.quarantined = () => [{ held: held, entry: undefined }];
  const ready = async (token?: string, path = "/readyz"): Promise<string> => {
    const headers = token === undefined ? {} : { authorization: `Bearer ${token}` };
    return (await fetch(`${kit.url}${path}`, { headers })).text();
  };
  expect(await ready()).toBe("ready\n");
  // What is shown in vain is as nothing.
  expect(await ready(`${tokens.data}x`)).toBe("ready\n");
  expect(JSON.parse(await ready(undefined, "/readyz?verbose"))).toEqual({
    ready: true,
    reasons: [{ code: "module_quarantined", blocking: false, count: 1 }],
  });
  expect(await ready(tokens.data)).toMatch(/^ready\nmodule_quarantined: module sha256:/);
  // No pipeline of theirs runs it.
  expect(await ready(tokens.narrow)).toBe("ready\n");
  folder.write("access.yaml", `${accessText}\nopen: [reflection]`);
  await kit.server.checkAccessFiles();
  expect(await ready(tokens.data)).toMatch(/^ready\nmodule_quarantined: module sha256:/);
});

test("lists show what the caller may see", async () => {
  await using server = await startMill();
  const { kit, tokens } = server;
  const names = async (token: string): Promise<string[]> => {
    const transport = createConnectTransport({ baseUrl: kit.url, httpVersion: "1.1" });
    const headers = { authorization: `Bearer ${token}` };
    const { pipelines } = await createClient(PipelineService, transport).listPipelines({}, { headers });
    return pipelines.map(({ name }) => name);
  };
  expect(await names(tokens.narrow)).toEqual(["mine"]);
  expect(await names(tokens.elsewhere)).toEqual(["other-1"]);
  expect(await names(tokens.admin)).toContain("mine");
});

test("a dead letter is shown to whoever may see those of its pipeline", async () => {
  await using server = await startMill();
  const { kit, tokens } = server;
  await kit.put("failing", [{ module: "program", onFailure: 4 }]);
  await kit.raw.transform(request("failing", "x"), bearer(tokens.admin));
  const list = (token: string, pipeline: string) =>
    kit.raw.unary(
      "/leat.v1.DeadLetterService/ListDeadLetters",
      ListDeadLettersRequestSchema,
      { filter: { pipeline } },
      ListDeadLettersResponseSchema,
      bearer(token),
    );
  const [letter] = (await list(tokens.operator, "failing")).deadLetters;
  expect(letter?.pipeline).toBe("failing");
  await expect(list(tokens.elsewhere, "failing")).rejects.toThrow(/PERMISSION_DENIED/);
  const reasonOf = async (token: string): Promise<string> => {
    await using leat = new Leat({ address: kit.address, token });
    return await leat.deadLetters.getDeadLetter({ id: letter?.id ?? "" }).then(
      ({ deadLetter }) => deadLetter?.pipeline ?? "",
      (error) => LeatCallError.from(error).reason,
    );
  };
  expect(await reasonOf(tokens.operator)).toBe("failing");
  expect(await reasonOf(tokens.elsewhere)).toBe("PIPELINE_FORBIDDEN");
});

test("a signed token counts for what its claims say, and only as long as everything in it is right", async () => {
  await using server = await startMill();
  const { issuer } = server;
  const stranger = await makeIssuer("k1");
  const may = { groups: ["staff", "mill"] };
  expect(await outcome(server, await issuer.sign(may, soon()))).toBe("in");
  expect(await outcome(server, await issuer.sign({ groups: "mill staff" }, soon()))).toBe("in");
  expect(await outcome(server, await issuer.sign(may, soon()), "other-1")).toBe("PIPELINE_FORBIDDEN");
  expect(await outcome(server, await issuer.sign({ groups: ["staff"] }, soon()))).toBe("ROLE_MISSING");
  expect(await outcome(server, await issuer.sign({ ...may, iss: "https://other.test" }, soon()))).toBe(
    "CREDENTIALS_INVALID",
  );
  expect(await outcome(server, await issuer.sign({ ...may, aud: "other" }, soon()))).toBe(
    "CREDENTIALS_INVALID",
  );
  expect(await outcome(server, await stranger.sign(may, soon()))).toBe("CREDENTIALS_INVALID");
  const [head, body] = (await issuer.sign(may, soon())).split(".");
  expect(await outcome(server, `${head}.${body}.`)).toBe("CREDENTIALS_INVALID");
  const none = Buffer.from('{"alg":"none"}').toString("base64url");
  expect(await outcome(server, `${none}.${body}.`)).toBe("CREDENTIALS_INVALID");
  expect(await outcome(server, `${"x".repeat(10_000)}`)).toBe("CREDENTIALS_INVALID");
});

test("a token that was remembered is refused once it expires, and a stream ends then, with a message or without", async () => {
  await using server = await startMill();
  const { kit, issuer } = server;
  const token = await issuer.sign({ groups: "mill" }, soon());
  expect(await outcome(server, token)).toBe("in");
  const [busy, quiet] = [kit.raw.stream(bearer(token)), kit.raw.stream(bearer(token))];
  for (const stream of [busy, quiet]) {
    stream.write(open("mine"));
    expect((await stream.next())?.case).toBe("opened");
  }
  // The tolerance for clocks that differ is over as well.
  clock.aheadMs = 3_600_000 + defaultLimits.maxClockSkewMs + 1;
  busy.write(numbered(1, "ma"));
  for (const stream of [busy, quiet]) {
    expect(await stream.ended).toMatchObject({
      t: "failed",
      failure: { status: "UNAUTHENTICATED", reason: "CREDENTIALS_EXPIRED" },
    });
  }
  expect(await outcome(server, token)).toBe("CREDENTIALS_EXPIRED");
});

test("the SDK's stream goes on with a fresh token, and gives each result once", async () => {
  await using server = await startMill();
  const { kit, issuer } = server;
  let asked = 0;
  const lifetimeMs = 3_600_000;
  await using leat = new Leat({
    address: kit.address,
    token: () => {
      asked++;
      return issuer.sign({ groups: "mill" }, new Date(clock.wallMs() + lifetimeMs));
    },
  });
  async function* source(): AsyncGenerator<{ value: string }[]> {
    yield [{ value: "ma" }];
    await until(() => values.length === 1, "the first result is there");
    clock.aheadMs = lifetimeMs + defaultLimits.maxClockSkewMs + 1;
    await until(() => asked > 1, "a fresh token was asked for");
    yield [{ value: "mb" }];
  }
  const values: string[] = [];
  for await (const { records } of leat.stream("mine", source(), { reconnect: { initialMs: 1 } })) {
    for (const { value } of records) values.push(Buffer.from(value ?? []).toString());
  }
  expect(values).toEqual(["a", "b"]);
});

test("a token whose line is deleted is worth nothing any more, and its stream ends; a file that is wrong changes nothing", async () => {
  await using server = await startMill();
  const { kit, folder, tokens, accessText } = server;
  const streams = [kit.raw.stream(bearer(tokens.narrow)), kit.raw.stream(bearer(tokens.data))];
  for (const stream of streams) {
    stream.write(open("mine"));
    expect((await stream.next())?.case).toBe("opened");
  }
  folder.write("access.yaml", "principals: [{ name: a, grants: [{ role: root }] }]");
  await kit.server.checkAccessFiles();
  expect(await outcome(server, tokens.narrow)).toBe("in");

  folder.write("access.yaml", accessText.replace(digestLine(tokens.narrow), `sha256:${"0".repeat(64)}`));
  await kit.server.checkAccessFiles();
  expect(await outcome(server, tokens.narrow)).toBe("CREDENTIALS_INVALID");
  expect(await outcome(server, tokens.data)).toBe("in");
  expect(await streams[0]?.ended).toMatchObject({ failure: { reason: "CREDENTIALS_EXPIRED" } });
  streams[1]?.write(numbered(1, "ma"));
  expect(await streams[1]?.next()).toMatchObject({ case: "result" });
  streams[1]?.halfClose();
  expect(await streams[1]?.ended).toEqual({ t: "ok" });
});

/** Publishes a key set on this machine. */
async function publish(answer: () => string): Promise<{ url: string; asked: () => number; server: Server }> {
  let asked = 0;
  const server = createServer((_request, response) => {
    asked++;
    response.end(answer());
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}/keys`,
    asked: () => asked,
    server,
  };
}

async function startRemote(issuer: TestIssuer, url: string): Promise<GuardedServer> {
  const base = await startGuarded({ http: false });
  await using _closed = base.kit;
  const text = base.accessText.replace("jwks.json", url);
  const accessFile = base.folder.write("remote.yaml", text);
  const server = await startMill({
    server: { accessFile },
    client: { token: base.tokens.admin },
    limits: { accessCheckMs: 10, maxKeySetBytes: 2_000 },
  });
  return { ...server, issuer, tokens: base.tokens };
}

test("keys are fetched once, and a key set that is too large or away is told as such", async () => {
  const issuer = await makeIssuer();
  let keySet = "x".repeat(3_000);
  const published = await publish(() => keySet);
  try {
    await using server = await startRemote(issuer, published.url);
    const token = await issuer.sign({ groups: "mill" }, soon());
    expect(await outcome(server, token)).toBe("KEYS_UNAVAILABLE");
    // Not asked again at once: a server that is away must not be flooded.
    expect(await outcome(server, token)).toBe("KEYS_UNAVAILABLE");
    expect(published.asked()).toBe(1);
    keySet = issuer.keySet;
    clock.aheadMs += 1_000;
    expect(await outcome(server, token)).toBe("in");
    for (let n = 0; n < 5; n++) {
      expect(await outcome(server, await issuer.sign({ groups: "mill", n }, soon()))).toBe("in");
    }
    // A key that is not there is not looked for each time.
    const stranger = await makeIssuer("k2");
    for (let n = 0; n < 5; n++) {
      expect(await outcome(server, await stranger.sign({ groups: "mill", n }, soon()))).toBe(
        "CREDENTIALS_INVALID",
      );
    }
    expect(published.asked()).toBe(2);
  } finally {
    published.server.closeAllConnections();
    published.server.close();
  }
});

test("what callers show is in no log line, error or metric; refusals are counted by reason", async () => {
  const lines: string[] = [];
  const logger = createLogger({ level: "trace", destination: { write: (line) => void lines.push(line) } });
  await using server = await startMill({ server: { logger } });
  const { kit, issuer, tokens } = server;
  const wrong = "leat_wrongwrongwrongwrong";
  const signed = await issuer.sign({ aud: "other", sub: "mallory" }, soon());
  expect(await outcome(server, wrong)).toBe("CREDENTIALS_INVALID");
  expect(await outcome(server, signed)).toBe("CREDENTIALS_INVALID");
  expect(await outcome(server, tokens.narrow, "other-1")).toBe("PIPELINE_FORBIDDEN");
  const { message, metadata } = await failureOf(kit.raw.transform(request("mine", "ma"), bearer(wrong)));
  const headers = { authorization: `Bearer ${tokens.admin}` };
  const figures = await (await fetch(`${kit.url}/metrics`, { headers })).text();
  const said = [...lines, message, JSON.stringify(metadata), figures].join("\n");
  for (const secret of [wrong, signed, ...signed.split("."), ...Object.values(tokens)]) {
    expect(said).not.toContain(secret);
  }
  const refusals = lines.map((line) => JSON.parse(line)).filter(({ msg }) => msg === "a call was refused");
  expect(refusals).toContainEqual(
    expect.objectContaining({ reason: "CREDENTIALS_INVALID", problem: "ERR_JWT_CLAIM_VALIDATION_FAILED" }),
  );
  expect(refusals).toContainEqual(
    expect.objectContaining({ reason: "PIPELINE_FORBIDDEN", principal: "narrow" }),
  );
  expect(figures).toMatch(/leat_access_refused_total\{reason="CREDENTIALS_INVALID"\} 3/);
});
