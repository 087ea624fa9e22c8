import { mkdirSync, mkdtempDisposableSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { defaultLimits, resolveLimits } from "../limits.ts";
import { ConfigError } from "./config-error.ts";
import { type ConfigSources, resolveConfig } from "./resolve.ts";

const bare: ConfigSources = { env: {}, flags: {}, folder: tmpdir() };

/** A folder with a `leat.yaml`, as the current one. */
function folderWith(yaml: string): Disposable & { sources: ConfigSources; path: string } {
  const folder = mkdtempDisposableSync(join(tmpdir(), "leat-config-"));
  writeFileSync(join(folder.path, "leat.yaml"), yaml);
  return {
    path: folder.path,
    sources: { env: {}, flags: {}, folder: folder.path },
    [Symbol.dispose]: () => folder.remove(),
  };
}

function mistakesOf(sources: ConfigSources): string[] {
  try {
    resolveConfig(sources);
  } catch (error) {
    if (error instanceof ConfigError) return error.message.split("\n");
    throw error;
  }
  return [];
}

describe("where nothing is set", () => {
  test("the defaults hold: this machine only, ports 7070 and 7071", () => {
    using folder = mkdtempDisposableSync(join(tmpdir(), "leat-config-"));
    expect(resolveConfig({ ...bare, folder: folder.path })).toEqual({
      auditOnFailure: "refuse",
      grpc: { host: "127.0.0.1", port: 7070 },
      http: { host: "127.0.0.1", port: 7071 },
      httpHosts: undefined,
      tls: undefined,
      accessFile: undefined,
      signatures: { mode: "off", keysFile: undefined },
      insecureExpose: false,
      modulesFolder: undefined,
      pipelinesFile: undefined,
      dataFolder: undefined,
      standby: true,
      isolation: "thread",
      healthNeedsStore: false,
      logLevel: "info",
      limits: resolveLimits(),
      telemetryEnv: {},
      sampleRatio: undefined,
      watch: true,
      settings: expect.any(Map),
      text: undefined,
      file: undefined,
      warnings: [],
    });
  });
});

describe("the sources", () => {
  const yaml = "grpc: { address: 'file:1' }\nlog: { level: debug }\nworkers: 3\nlimits: { maxStages: 5 }\n";

  test("go before one another: defaults, leat.yaml, variables, flags", () => {
    using folder = folderWith(yaml);
    const env = { LEAT_LOG_LEVEL: "warn", LEAT_WORKERS: "4", LEAT_LIMITS_MAX_STREAMS: "7" };
    const config = resolveConfig({
      ...folder.sources,
      env,
      flags: { workers: 5, drain: "2s", modules: undefined },
    });
    expect(config.grpc).toEqual({ host: "file", port: 1 });
    expect(config.logLevel).toBe("warn");
    expect(config.limits).toMatchObject({
      maxWorkers: 5,
      maxDrainMs: 2_000,
      maxStages: 5,
      maxStreams: 7,
      maxBatchBytes: defaultLimits.maxBatchBytes,
    });
    expect(config.file).toBe(join(folder.path, "leat.yaml"));
  });

  test("a variable that is empty sets nothing", () => {
    expect(resolveConfig({ ...bare, env: { LEAT_LOG_LEVEL: "" } }).logLevel).toBe("info");
  });

  test("a file can be named by argument or LEAT_CONFIG, and the argument wins", () => {
    using folder = folderWith(yaml);
    writeFileSync(join(folder.path, "a.yaml"), "log: { level: error }");
    writeFileSync(join(folder.path, "b.yaml"), "log: { level: fatal }");
    const env = { LEAT_CONFIG: "a.yaml" };
    expect(resolveConfig({ ...folder.sources, env }).logLevel).toBe("error");
    expect(resolveConfig({ ...folder.sources, env, file: "b.yaml" }).logLevel).toBe("fatal");
  });

  test("an empty file sets nothing", () => {
    using folder = folderWith("# nothing yet\n");
    expect(resolveConfig(folder.sources).logLevel).toBe("info");
  });

  test("paths are relative to the file or folder in which they were written", () => {
    using folder = folderWith("");
    mkdirSync(join(folder.path, "etc"));
    writeFileSync(join(folder.path, "etc", "leat.yaml"), "modules: mods\npipelines: ./p.yaml\n");
    const config = resolveConfig({
      ...folder.sources,
      file: "etc/leat.yaml",
      flags: { pipelines: "q.yaml" },
    });
    expect(config.modulesFolder).toBe(join(folder.path, "etc", "mods"));
    expect(config.pipelinesFile).toBe(join(folder.path, "q.yaml"));
  });

  test.each([
    { env: {}, flags: { "http.address": false } },
    { env: { LEAT_HTTP_ADDRESS: "false" }, flags: {} },
  ])("%j closes the HTTP door", (sources) => {
    expect(resolveConfig({ ...bare, ...sources }).http).toBeUndefined();
  });
});

describe("telemetry", () => {
  test("is said in OTEL_* variables, and those that are set win", () => {
    using folder = folderWith(
      "telemetry: { serviceName: mill, otlpEndpoint: 'http://c:4317', sampleRatio: 0.1 }",
    );
    const { telemetryEnv, sampleRatio } = resolveConfig(folder.sources);
    expect(telemetryEnv).toEqual({
      OTEL_SERVICE_NAME: "mill",
      OTEL_EXPORTER_OTLP_ENDPOINT: "http://c:4317",
    });
    expect(sampleRatio).toBe(0.1);
    const env = { OTEL_SERVICE_NAME: "race", OTEL_TRACES_SAMPLER: "always_on", OTHER: "x" };
    expect(resolveConfig({ ...folder.sources, env }).sampleRatio).toBeUndefined();
    expect(resolveConfig({ ...folder.sources, env }).telemetryEnv).toEqual({
      OTEL_SERVICE_NAME: "race",
      OTEL_EXPORTER_OTLP_ENDPOINT: "http://c:4317",
      OTEL_TRACES_SAMPLER: "always_on",
    });
  });
});

describe("a mistake", () => {
  test("names the place, the key, the value and what is allowed; all are listed", () => {
    using folder = folderWith("grpc:\n  adress: x\nlimits:\n  maxBatchBytes: 4MB\nworkers: 0\nlog: loud\n");
    const env = { LEAT_LOG_LEVEL: "loud" };
    const flags = { "http.address": ":80" };
    expect(mistakesOf({ ...folder.sources, env, flags }).toSorted()).toEqual(
      [
        "leat.yaml:2:3: grpc.adress: unknown key; did you mean address?",
        'leat.yaml:4:18: limits.maxBatchBytes: "4MB" is not allowed; give a size in bytes of at least 1, such as 4194304, "256KiB", "64MiB" or "1GiB"',
        "leat.yaml:5:10: workers: 0 is not allowed; give a whole number of at least 1",
        'leat.yaml:6:6: log: "loud" is not allowed; give a mapping of keys to values',
        'LEAT_LOG_LEVEL: log.level: "loud" is not allowed; give one of trace, debug, info, warn, error, fatal, silent',
        '--http-address: http.address: ":80" is not allowed; give HOST:PORT, such as "127.0.0.1:7070", "[::1]:7070" or "0.0.0.0:7070", or false',
      ].toSorted(),
    );
  });

  test("in a limit's name points to the nearest one, or to the key that sets it", () => {
    using folder = folderWith("limits:\n  maxBatchByte: 1\n  maxWorkers: 2\n");
    expect(mistakesOf(folder.sources)).toEqual([
      "leat.yaml:2:3: limits.maxBatchByte: unknown key; did you mean maxBatchBytes?",
      "leat.yaml:3:3: limits.maxWorkers: unknown key; set workers instead",
    ]);
  });

  test("in the syntax has its line", () => {
    using folder = folderWith("log: { level: debug }\nlog: { level: info }\n");
    expect(mistakesOf(folder.sources)).toEqual(["leat.yaml:2:1: Map keys must be unique"]);
  });

  test("between limits names both with their values", () => {
    const flags = { "limits.maxBatchBytes": "128MiB", "limits.maxAdmittedBytes": "1GiB" };
    expect(mistakesOf({ ...bare, flags })).toEqual([
      "limits: maxBatchBytes must not exceed maxGuestMemoryBytes (maxBatchBytes is 134217728, maxGuestMemoryBytes is 67108864)",
    ]);
  });

  test("is a file that is not there", () => {
    expect(mistakesOf({ ...bare, file: "no/such.yaml" })).toEqual([
      expect.stringMatching(/^no\/such\.yaml: cannot be read: ENOENT/),
    ]);
  });

  test("is one address for both doors, unless the port is any that is free", () => {
    const same = (address: string) => ({
      ...bare,
      flags: { "grpc.address": address, "http.address": address },
    });
    expect(mistakesOf(same("127.0.0.1:80"))).toEqual([
      "http.address: 127.0.0.1:80 is the address of grpc.address, too; give each its own",
    ]);
    expect(mistakesOf(same("127.0.0.1:0"))).toEqual([]);
  });

  test("is a flag that sets no key", () => {
    expect(mistakesOf({ ...bare, flags: { "grpc.adress": "h:1" } })).toEqual([
      "flag: grpc.adress: unknown key; did you mean grpc.address?",
    ]);
  });
});

describe("a variable of another program", () => {
  test("is no mistake, but one that looks mistyped is warned of", () => {
    const env = { LEAT_PORT: "tcp://10.0.0.1:7070", LEAT_SERVICE_HOST: "10.0.0.1", LEAT_LOG_LEVL: "debug" };
    expect(resolveConfig({ ...bare, env }).warnings).toEqual([
      "LEAT_LOG_LEVL sets nothing; did you mean LEAT_LOG_LEVEL?",
    ]);
  });
});

describe("TLS and access", () => {
  test("are files beside the one that names them, and flags go before it", () => {
    using folder = folderWith("tls: { cert: a.crt, key: a.key, clientCa: ca.crt }\naccess: access.yaml\n");
    const config = resolveConfig({
      ...folder.sources,
      flags: { "tls.clientAuth": "optional", "http.hosts": "leat.test, leat", "insecure.expose": "true" },
    });
    const at = (name: string): string => join(folder.path, name);
    expect(config.tls).toEqual({
      cert: at("a.crt"),
      key: at("a.key"),
      clientCa: at("ca.crt"),
      clientAuth: "optional",
    });
    expect(config.accessFile).toBe(at("access.yaml"));
    expect(config.httpHosts).toEqual(["leat.test", "leat"]);
    expect(config.insecureExpose).toBe(true);
  });

  test.each([
    ["tls: { cert: a.crt }", /tls\.key: is not set/],
    ["tls: { key: a.key }", /tls\.cert: is not set/],
    ["tls: { clientCa: ca.crt }", /tls\.cert: is not set/],
  ])("%s is refused: a certificate needs its key", (yaml, problem) => {
    using folder = folderWith(yaml);
    expect(() => resolveConfig(folder.sources)).toThrow(problem);
  });
});

describe("the policy of signatures", () => {
  test("takes its list of keys from beside the file that names it", () => {
    using folder = folderWith("signatures: { policy: warn, keys: keys.yaml }\n");
    const { signatures, warnings } = resolveConfig(folder.sources);
    expect(signatures).toEqual({ mode: "warn", keysFile: join(folder.path, "keys.yaml") });
    expect(warnings).toEqual([]);
  });

  test.each(["warn", "require"])("%s without a list is refused", (policy) => {
    using folder = folderWith(`signatures: { policy: ${policy} }\n`);
    expect(() => resolveConfig(folder.sources)).toThrow(
      `signatures.keys: is not set; signatures.policy is ${policy}, and needs the list`,
    );
  });

  test("that looks at nothing, beside a list, is warned of", () => {
    using folder = folderWith("signatures: { keys: keys.yaml }\n");
    expect(resolveConfig(folder.sources).warnings).toEqual([
      "signatures.keys is set, and signatures.policy is off: no signature is looked at",
    ]);
  });
});
