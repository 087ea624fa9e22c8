/** The recipes of `deploy/` name only what there is: files, flags, keys, ports, pages, fields. */

import { execFileSync } from "node:child_process";
import { existsSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { basename, dirname, join } from "node:path";
import { describe, expect, test } from "vitest";
import { parse, parseAllDocuments } from "yaml";
import { leatCommand } from "../../server/cli/program.ts";
import { checkExposure } from "../../server/config/exposure.ts";
import { parsePipelines } from "../../server/config/pipelines-file.ts";
import { type ResolvedConfig, resolveConfig } from "../../server/config/resolve.ts";
import { configKeys } from "../../server/config/schema.ts";
import { defaultLimits } from "../../server/limits.ts";
import { testFolder } from "../kit/folder.ts";
import { root } from "../repository/root.ts";
import { manifestProblems } from "./manifest-schema.ts";

const folder = join(root, "deploy");
const textOf = (path: string): string => readFileSync(join(folder, path), "utf8");

/** Parses arguments as the command does, up to what it would do. @returns the subcommand's options */
async function parsed(args: readonly string[]): Promise<Record<string, unknown>> {
  const program = await leatCommand(args);
  let options: Record<string, unknown> | undefined;
  const standIn = (command: typeof program): void => {
    command.action(() => {
      options = command.opts();
    });
    command.commands.forEach((each) => {
      standIn(each as typeof program);
    });
  };
  standIn(program);
  await program.parseAsync([...args], { from: "user" });
  if (options === undefined) throw new Error(`${args.join(" ")} names no subcommand`);
  return options;
}

/** A recipe's configuration. It must be one that may be reached from other machines. */
function configOf(path: string): ResolvedConfig {
  const config = resolveConfig({ file: join(folder, path), env: {}, flags: {} });
  expect(config.warnings).toEqual([]);
  checkExposure({
    hosts: { "grpc.address": config.grpc.host, "http.address": config.http?.host ?? "" },
    tls: config.tls !== undefined,
    access: config.accessFile !== undefined,
    insecure: false,
  });
  return config;
}

/** The longest that a server takes to end, in milliseconds. */
const endMs = ({ limits }: ResolvedConfig): number => limits.maxDrainMs + limits.maxTelemetryFlushMs;

describe("systemd", () => {
  const unit = textOf("systemd/leat.service");
  const setting = (name: string): string => new RegExp(`^${name}=(.*)$`, "m").exec(unit)?.[1] ?? "";
  const [node, script, ...args] = setting("ExecStart").split(" ");

  test("the unit runs a command that there is, with a configuration that is one", async () => {
    expect([node, script]).toEqual(["/usr/bin/node", "/opt/leat/node_modules/@leat/server/cli/leat.mjs"]);
    expect(existsSync(join(root, "server/cli/leat.mjs"))).toBe(true);
    expect(await parsed(args)).toEqual({ config: "/etc/leat/leat.yaml" });
    const config = configOf("systemd/leat.yaml");
    expect(config.dataFolder).toBe(`/var/lib/${setting("StateDirectory")}`);
    expect(setting("WorkingDirectory")).toBe(config.dataFolder);
  });

  test("the unit waits longer than a drain takes, and lets V8 make code", () => {
    expect(Number(setting("TimeoutStopSec")) * 1_000).toBeGreaterThan(endMs(configOf("systemd/leat.yaml")));
    expect([setting("KillMode"), setting("KillSignal")]).toEqual(["mixed", "SIGTERM"]);
    expect(setting("MemoryDenyWriteExecute")).toBe("");
    // What `leat serve` does on SIGHUP has its test beside the command.
    expect(setting("ExecReload")).toBe("/bin/kill -HUP $MAINPID");
    expect(setting("NoNewPrivileges")).toBe("yes");
    expect(setting("ProtectSystem")).toBe("strict");
  });

  const verifies = existsSync("/usr/bin/systemd-analyze");
  test.skipIf(!verifies)(
    "systemd-analyze finds nothing wrong (skipped where there is no systemd)",
    async () => {
      await using made = await testFolder();
      const path = join(made.path, "leat.service");
      // What it names is not installed here.
      const here = unit
        .replace(
          /^ExecStart=.*$/m,
          `ExecStart=${process.execPath} ${join(root, "server/cli/leat.mjs")} serve`,
        )
        .replace(/^Documentation=.*\n/m, "");
      writeFileSync(path, here);
      const said = execFileSync("systemd-analyze", ["verify", "--man=no", path], {
        encoding: "utf8",
        stdio: "pipe",
      });
      expect(said).toBe("");
    },
  );
});

describe("the container", () => {
  const lines = textOf("container/Containerfile")
    .replaceAll(/^#.*\n/gm, "")
    .replaceAll("\\\n", " ")
    .split("\n")
    .map((line) => line.trim())
    .filter((line) => line !== "");
  const instructions = (name: string): string[] =>
    lines.filter((line) => line.startsWith(`${name} `)).map((line) => line.slice(name.length + 1));
  const jsonOf = (text = ""): string[] => JSON.parse(text.slice(text.indexOf("["))) as string[];

  test("copies files that there are", () => {
    const copied = instructions("COPY")
      .filter((line) => !line.startsWith("--from"))
      .flatMap((line) => line.split(/\s+/).slice(0, -1));
    expect(copied.length).toBeGreaterThan(8);
    expect(copied.filter((path) => !existsSync(join(root, path)))).toEqual([]);
  });

  test("has the Node that Leat is made with, by its tag", () => {
    const { devDependencies } = JSON.parse(readFileSync(join(root, "package.json"), "utf8"));
    const bases = instructions("FROM").map((line) => line.split(" ")[0]);
    expect(new Set(bases)).toEqual(new Set([`docker.io/library/node:${devDependencies.node}-bookworm-slim`]));
  });

  test("runs and asks commands that there are, without a shell, as nobody special", async () => {
    const [program, script] = jsonOf(instructions("ENTRYPOINT")[0]);
    expect([program, basename(script ?? "")]).toEqual(["node", "leat.mjs"]);
    expect(await parsed(jsonOf(instructions("CMD").find((line) => line.startsWith('["serve"'))))).toEqual({});
    const check = instructions("HEALTHCHECK")[0] ?? "";
    const probe = jsonOf(check.slice(check.indexOf("CMD")));
    expect(probe.slice(0, 2)).toEqual([program, script]);
    expect(await parsed(probe.slice(2))).toMatchObject({ timeout: 4_000 });
    expect(instructions("USER")).toEqual(["1000:1000"]);
  });

  test("sets variables that are keys, and exposes the ports of the defaults", () => {
    const variables = instructions("ENV").flatMap((line) =>
      [...line.matchAll(/(\w+)=/g)].map(([, name]) => name),
    );
    const known = ["LEAT_CONFIG", "NODE_ENV", ...configKeys.map(({ env }) => env)];
    expect(variables.filter((name) => !known.includes(name ?? ""))).toEqual([]);
    const { grpc, http } = resolveConfig({ env: {}, flags: {}, folder });
    expect(instructions("EXPOSE")).toEqual([`${grpc.port} ${http?.port}`]);
    expect(instructions("VOLUME")).toEqual(["/var/lib/leat"]);
  });
});

/** As much of the manifests as is looked at here. */
interface Manifest {
  readonly apiVersion: string;
  readonly kind: string;
  readonly metadata: { readonly name: string; readonly labels?: Labels };
}
type Labels = Readonly<Record<string, string>>;
interface Named {
  readonly name: string;
}
interface Probe {
  readonly httpGet: { readonly path: string; readonly port: string; readonly scheme: string };
  readonly periodSeconds: number;
  readonly failureThreshold: number;
}
interface Container extends Named {
  readonly image: string;
  readonly args: readonly string[];
  readonly ports: readonly (Named & { readonly containerPort: number })[];
  readonly startupProbe: Probe;
  readonly livenessProbe: Probe;
  readonly readinessProbe: Probe;
  readonly lifecycle: { readonly preStop: { readonly sleep: { readonly seconds: number } } };
  readonly resources: { readonly limits: { readonly cpu?: string; readonly memory: string } };
  readonly securityContext: object;
  readonly volumeMounts: readonly (Named & { readonly mountPath: string })[];
}
interface StatefulSet extends Manifest {
  readonly spec: {
    readonly serviceName: string;
    readonly selector: { readonly matchLabels: Labels };
    readonly volumeClaimTemplates: readonly { readonly metadata: Named }[];
    readonly template: {
      readonly metadata: { readonly labels: Labels };
      readonly spec: {
        readonly terminationGracePeriodSeconds: number;
        readonly securityContext: object;
        readonly containers: readonly [Container];
        readonly volumes: readonly (Named & {
          readonly configMap?: Named;
          readonly secret?: { readonly secretName: string };
        })[];
      };
    };
  };
}
interface Service extends Manifest {
  readonly spec: {
    readonly selector: Labels;
    readonly clusterIP?: string;
    readonly ports: readonly (Named & { readonly port: number })[];
  };
}
interface Budget extends Manifest {
  readonly spec: { readonly selector: { readonly matchLabels: Labels } };
}

describe("Kubernetes", () => {
  const files = readdirSync(join(folder, "kubernetes")).sort();
  const documents = (file: string): Manifest[] =>
    parseAllDocuments(textOf(`kubernetes/${file}`)).map((document) => {
      expect(document.errors).toEqual([]);
      return document.toJS() as Manifest;
    });
  const kustomization = documents("kustomization.yaml")[0] as unknown as {
    resources: string[];
    configMapGenerator: { name: string; files: string[] }[];
    images: { name: string; newTag: string }[];
  };
  const manifests = kustomization.resources.flatMap(documents);
  const ofKind = <Kind extends Manifest>(kind: string): Kind[] =>
    manifests.filter((manifest): manifest is Kind => manifest.kind === kind);
  const [set] = ofKind<StatefulSet>("StatefulSet") as [StatefulSet];
  const services = ofKind<Service>("Service");
  const pod = set.spec.template.spec;
  const [container] = pod.containers;
  const config = configOf("kubernetes/leat.yaml");

  test("every manifest is valid, and every file is used", () => {
    expect(manifests.map((manifest) => [manifest.metadata.name, manifestProblems(manifest)])).toEqual(
      manifests.map((manifest) => [manifest.metadata.name, []]),
    );
    const used = [...kustomization.resources, ...(kustomization.configMapGenerator[0]?.files ?? [])];
    expect([...used, "kustomization.yaml"].sort()).toEqual(files);
  });

  test("a misspelt field and a wrong type are found", () => {
    const { selector: _, ...spec } = set.spec;
    const [first] = set.spec.template.spec.containers;
    const podSpec = { ...set.spec.template.spec, containers: [{ ...first, readynessProbe: {} }] };
    const wrong = {
      ...set,
      spec: { ...spec, replicas: "three", template: { ...spec.template, spec: podSpec } },
    };
    expect(manifestProblems(wrong)).toEqual([
      "StatefulSet.spec.selector: is missing",
      "StatefulSet.spec.replicas: string in place of integer or null",
      "StatefulSet.spec.template.spec.containers[0].readynessProbe: there is no such field",
    ]);
  });

  test("the command, its configuration and its files are there", async () => {
    const { config: path } = await parsed(container.args);
    const mounts = new Map<string, string>(
      container.volumeMounts.map(({ name, mountPath }) => [mountPath, name]),
    );
    const sources = new Map<string, string | undefined>(
      pod.volumes.map(({ name, configMap, secret }) => [name, configMap?.name ?? secret?.secretName]),
    );
    const sourceOf = (file: string | undefined): string | undefined =>
      sources.get(mounts.get(dirname(file ?? "")) ?? "");
    const [generated] = kustomization.configMapGenerator;
    // The line that an operator brings in later.
    const line = /^# (pipelines: .*)$/m.exec(textOf("kubernetes/leat.yaml"))?.[1] ?? "";
    const { pipelines } = parse(line) as { pipelines: string };
    for (const file of [String(path), pipelines]) {
      expect(sourceOf(file)).toBe(generated?.name);
      expect(generated?.files).toContain(basename(file ?? ""));
    }
    expect([config.tls?.cert, config.tls?.key].map(sourceOf)).toEqual(["leat-tls", "leat-tls"]);
    expect(sourceOf(config.accessFile)).toBe("leat-access");
    expect(mounts.get(config.dataFolder ?? "")).toBe(set.spec.volumeClaimTemplates[0]?.metadata.name);
    expect(sources.get(mounts.get(config.modulesFolder ?? "") ?? "")).toBe("leat-modules");
    expect(parsePipelines(textOf("kubernetes/pipelines.yaml"), "pipelines.yaml")).toHaveLength(1);
    expect(kustomization.images[0]?.name).toBe(container.image);
  });

  test("ports, probes and selectors fit", () => {
    const ports = Object.fromEntries(container.ports.map(({ name, containerPort }) => [name, containerPort]));
    expect(ports).toEqual({ grpc: config.grpc.port, http: config.http?.port });
    for (const probe of ["startupProbe", "livenessProbe", "readinessProbe"] as const) {
      const { httpGet } = container[probe];
      expect(["/healthz", "/readyz"]).toContain(httpGet.path);
      expect([httpGet.port, httpGet.scheme]).toEqual(["http", "HTTPS"]);
    }
    expect(container.livenessProbe.httpGet.path).toBe("/healthz");
    expect(container.readinessProbe.httpGet.path).toBe("/readyz");
    const labels = set.spec.template.metadata.labels;
    const selectors = [
      set.spec.selector.matchLabels,
      ...ofKind<Budget>("PodDisruptionBudget").map(({ spec }) => spec.selector.matchLabels),
      ...services.map(({ spec }) => spec.selector),
    ];
    expect(selectors).toEqual(selectors.map(() => labels));
    expect(services.map(({ metadata, spec }) => [metadata.name, spec.clusterIP])).toEqual([
      [set.spec.serviceName, "None"],
      ["leat", undefined],
    ]);
    expect(services.flatMap(({ spec }) => spec.ports).map(({ name, port }) => [name, port])).toEqual(
      Object.entries(ports),
    );
  });

  test("a replica has time to be left alone, to drain and to end", () => {
    const leftMs = container.lifecycle.preStop.sleep.seconds * 1_000;
    expect(pod.terminationGracePeriodSeconds * 1_000).toBeGreaterThan(leftMs + endMs(config));
    const { periodSeconds, failureThreshold } = container.readinessProbe;
    // By then a balancer that goes by readiness knows as well.
    expect(leftMs).toBeGreaterThanOrEqual(periodSeconds * failureThreshold * 1_000);
  });

  test("the container may do nothing beyond its work, and has the memory that its limits add up to", () => {
    expect(pod.securityContext).toMatchObject({ runAsNonRoot: true, runAsUser: 1000, fsGroup: 1000 });
    expect(container.securityContext).toEqual({
      allowPrivilegeEscalation: false,
      readOnlyRootFilesystem: true,
      capabilities: { drop: ["ALL"] },
    });
    expect(container.resources.limits.cpu).toBeUndefined();
    expect(Number.parseInt(container.resources.limits.memory, 10) * 2 ** 30).toBeGreaterThan(
      defaultLimits.maxAdmittedBytes * 4,
    );
  });
});
