import { existsSync } from "node:fs";
import { homedir } from "node:os";
import { join, posix } from "node:path";
import { describe, expect, test } from "vitest";
import { catalogue, recordFailureCodes } from "../../server/errors.ts";
import { defaultLimits } from "../../server/limits.ts";
import config from "../../vitest.config.ts";
import { layerProblem } from "./layers.ts";
import { root } from "./root.ts";
import { isTest, repositoryFiles, sourceFiles, textOf } from "./source-files.ts";
import { filesNamedIn, functionsOf, type Import, importsOf, packageDoors } from "./source-graph.ts";

const maxFileLines = 400;
const maxFunctionLines = 70;

/** Files and functions that may be longer, each with its reason. The lists only ever get shorter. */
const longFiles: Readonly<Record<string, string>> = {};
const longFunctions: Readonly<Record<string, string>> = {};

const textFiles = repositoryFiles.filter((path) =>
  /\.(?:ts|js|json|md|proto|ya?ml|wat|c|h|html|css|sh)$|^\.|LICENSE$/.test(path),
);
const manifests = repositoryFiles.filter((path) => posix.basename(path) === "package.json");
const imports: readonly Import[] = sourceFiles.flatMap(importsOf);

describe("size", () => {
  test(`files have at most ${maxFileLines} lines`, () => {
    const measured = repositoryFiles.filter(
      (path) => /\.(?:ts|js|proto|wat|c)$/.test(path) && !path.startsWith("proto/gen/"),
    );
    const long = measured
      .map((path) => ({ path, lines: textOf(path).split("\n").length - 1 }))
      .filter(({ lines }) => lines > maxFileLines);
    expect(
      long.filter(({ path }) => !(path in longFiles)).map(({ path, lines }) => `${path}: ${lines}`),
    ).toEqual([]);
    expect(Object.keys(longFiles).filter((path) => !long.some((file) => file.path === path))).toEqual([]);
  });

  test(`functions have at most ${maxFunctionLines} lines of code`, () => {
    const long = sourceFiles.flatMap(functionsOf).filter(({ codeLines }) => codeLines > maxFunctionLines);
    const key = (path: string, name: string): string => `${path} ${name}`;
    const unexpected = long.filter(({ path, name }) => !(key(path, name) in longFunctions));
    expect(
      unexpected.map(({ path, line, name, codeLines }) => `${path}:${line} ${name}: ${codeLines}`),
    ).toEqual([]);
    const known = new Set(long.map(({ path, name }) => key(path, name)));
    expect(Object.keys(longFunctions).filter((entry) => !known.has(entry))).toEqual([]);
  });
});

describe("imports", () => {
  test("go down the layers", () => {
    const production = imports.filter(({ from }) => isProduction(from));
    expect(production.map(layerProblem).filter((problem) => problem !== undefined)).toEqual([]);
  });

  test("go in no circle at run time", () => {
    expect(circles(imports.filter((edge) => !edge.typeOnly && !edge.dynamic))).toEqual([]);
  });

  test("of production code reach no test", () => {
    const wrong = imports.filter(({ from, to }) => isProduction(from) && to !== undefined && isTest(to));
    expect(wrong.map(({ from, to }) => `${from} imports ${to}`)).toEqual([]);
  });

  test("of published packages are among their dependencies", () => {
    const undeclared = ["proto", "sdk", "server", "guest/assemblyscript"].flatMap((folder) => {
      const manifest = JSON.parse(textOf(`${folder}/package.json`)) as { dependencies?: object };
      const declared = new Set(Object.keys(manifest.dependencies ?? {}));
      return imports
        .filter(
          ({ from, specifier }) =>
            from.startsWith(`${folder}/`) && !isTest(from) && !/^(?:\.|node:)/.test(specifier),
        )
        .filter(({ specifier }) => !declared.has(packageName(specifier)))
        .map(({ from, specifier }) => `${from} imports ${specifier}`);
    });
    expect(undeclared).toEqual([]);
  });

  test("and entry points lead to every file", () => {
    const entries = [...packageDoors.values(), ...binaries(), ...scriptFiles(), "vitest.config.ts"];
    const production = reachableFrom(entries, imports);
    const all = reachableFrom(
      [...entries, ...sourceFiles.filter((path) => path.endsWith(".test.ts"))],
      imports,
    );
    const orphans = sourceFiles.filter(
      (path) =>
        !path.endsWith(".test.ts") && !path.endsWith(".d.ts") && !(isTest(path) ? all : production).has(path),
    );
    expect(orphans).toEqual([]);
  });
});

describe("files", () => {
  test("of modules are all used by a test", () => {
    const tests = sourceFiles.filter(isTest).map(textOf).join("\n");
    const modules = repositoryFiles.filter((path) => isTest(path) && /\.(?:wat|c)$/.test(path));
    const unused = modules.filter((path) => {
      const name = posix.basename(path).replace(/\.\w+$/, "");
      return !new RegExp(`["'\`/]${name}(?:\\.\\w+)?["'\`]`).test(tests);
    });
    expect(unused).toEqual([]);
  });

  test("are named after what they hold", () => {
    const vague = /^(?:utils?|helpers?|common|misc|shared|stuff)$/;
    const named = repositoryFiles.filter((path) => path.split(/[/.]/).some((part) => vague.test(part)));
    expect(named).toEqual([]);
  });

  test("leave nothing for later", () => {
    const later = new RegExp(`\\b(?:${["FIX", "TO"].join("ME|")}DO|XXX|HACK)\\b`);
    expect(linesWith(later)).toEqual([]);
  });

  test("name no folder of the machine they were written on", () => {
    const home = homedir();
    const places = [root, ...(home.split("/").length > 2 ? [home] : [])];
    const found = textFiles.filter((path) => places.some((place) => textOf(path).includes(`${place}/`)));
    expect(found).toEqual([]);
  });

  test("of tests are all run", () => {
    const run = (path: string): boolean =>
      projects.some(({ include, exclude }) => {
        const matches = (patterns: readonly string[]) =>
          patterns.some((each) => posix.matchesGlob(path, each));
        return matches(include) && !matches(exclude);
      });
    expect(projects).not.toEqual([]);
    expect(repositoryFiles.filter((path) => /\.test\.\w+$/.test(path) && !run(path))).toEqual([]);
  });

  test("skip no test for good, and suppress no lint without a reason", () => {
    expect(
      linesWith(
        /\b(?:test|it|describe)\.(?:only|todo)\(|biome-ignore [\w/]+(?::\s*$|\s*$)|@ts-(?:ignore|expect-error|nocheck)(?!:? \w)/,
      ),
    ).toEqual([]);
  });
});

describe("dependencies", () => {
  test("are pinned to one version each", () => {
    const ranges = manifests.flatMap((path) => {
      const manifest = JSON.parse(textOf(path)) as Record<string, Record<string, string>>;
      const all = { ...manifest["dependencies"], ...manifest["devDependencies"] };
      return Object.entries(all)
        .filter(([, version]) => !/^\d+\.\d+\.\d+(?:-[\w.]+)?$/.test(version))
        .map(([name, version]) => `${path}: ${name} ${version}`);
    });
    expect(ranges).toEqual([]);
  });

  test("are locked without the host that served them", () => {
    const lock = JSON.parse(textOf("package-lock.json")) as {
      packages: Record<string, { resolved?: string }>;
    };
    const hosts = Object.entries(lock.packages).filter(([, { resolved }]) => resolved?.includes("://"));
    expect(hosts.map(([path]) => path)).toEqual([]);
  });
});

describe("documentation", () => {
  test.skipIf(!existsSync(join(root, "docs/errors.md")))("of errors is in step with the catalogue", () => {
    const text = textOf("docs/errors.md");
    const known = [...Object.keys(catalogue), ...Object.keys(recordFailureCodes)];
    expect(known.filter((reason) => !text.includes(`\`${reason}\``))).toEqual([]);
    const statuses: string[] = Object.values(catalogue).map(({ status }) => status);
    const rows = [...text.matchAll(/^\|\s*`([A-Z_]+)`/gm)].map((match) => match[1] ?? "");
    expect(rows.filter((reason) => !known.includes(reason) && !statuses.includes(reason))).toEqual([]);
  });

  test.skipIf(!existsSync(join(root, "docs/operating.md")))("of limits is in step with the defaults", () => {
    const text = textOf("docs/operating.md");
    const known = Object.keys(defaultLimits);
    expect(known.filter((limit) => !text.includes(`\`${limit}\``))).toEqual([]);
    const rows = [...text.matchAll(/^\|\s*`((?:max|slot)[A-Z]\w+)`/gm)].map((match) => match[1] ?? "");
    expect(rows.filter((limit) => !known.includes(limit))).toEqual([]);
  });

  test("links to files that exist", () => {
    const broken = repositoryFiles
      .filter((path) => path.endsWith(".md"))
      .flatMap((path) =>
        [...textOf(path).matchAll(/\]\(([^)#\s:]+)(?:#[^)]*)?\)/g)]
          .map((match) => posix.join(posix.dirname(path), match[1] ?? ""))
          .filter((target) => !existsSync(join(root, target)))
          .map((target) => `${path} links to ${target}`),
      );
    expect(broken).toEqual([]);
  });
});

/** What a project of the runner runs. */
interface TestFiles {
  readonly include: readonly string[];
  readonly exclude: readonly string[];
}

const projects: readonly TestFiles[] = (config.test?.projects ?? []).map((project) => {
  const { test } = project as { test?: Partial<TestFiles> };
  return { include: test?.include ?? [], exclude: test?.exclude ?? [] };
});

/** Whether a file is neither a test nor one of the repository's own scripts. */
function isProduction(path: string): boolean {
  return path.includes("/") && !isTest(path);
}

function packageName(specifier: string): string {
  return specifier.split("/", specifier.startsWith("@") ? 2 : 1).join("/");
}

function binaries(): string[] {
  return manifests.flatMap((path) => {
    const { bin = {} } = JSON.parse(textOf(path)) as { bin?: Record<string, string> };
    return Object.values(bin).map((file) => posix.join(posix.dirname(path), file));
  });
}

/** The files that the scripts of `package.json` start. */
function scriptFiles(): string[] {
  const { scripts } = JSON.parse(textOf("package.json")) as { scripts: Record<string, string> };
  return Object.values(scripts).flatMap((script) => script.match(/[\w./-]+\.[tj]s\b/g) ?? []);
}

/** The files that some files import or name, and those that these do, and so on. */
function reachableFrom(entries: readonly string[], edges: readonly Import[]): Set<string> {
  const next = Map.groupBy(edges, ({ from }) => from);
  const seen = new Set<string>();
  const waiting = [...entries];
  for (let path = waiting.pop(); path !== undefined; path = waiting.pop()) {
    if (seen.has(path)) continue;
    seen.add(path);
    if (!sourceFiles.includes(path)) continue;
    waiting.push(...filesNamedIn(path), ...(next.get(path) ?? []).flatMap(({ to }) => to ?? []));
  }
  return seen;
}

/** The circles among imports, each as the files that it passes. */
function circles(edges: readonly Import[]): string[] {
  const next = Map.groupBy(edges, ({ from }) => from);
  const done = new Set<string>();
  const found: string[] = [];
  const visit = (path: string, above: readonly string[]): void => {
    const start = above.indexOf(path);
    if (start >= 0) found.push([...above.slice(start), path].join(" > "));
    if (start >= 0 || done.has(path)) return;
    for (const { to } of next.get(path) ?? []) if (to !== undefined) visit(to, [...above, path]);
    done.add(path);
  };
  for (const path of next.keys()) visit(path, []);
  return found;
}

/** The places where a pattern occurs. */
function linesWith(pattern: RegExp): string[] {
  return textFiles
    .filter((path) => path !== "test/repository/tidy.test.ts" && !path.startsWith("proto/gen/"))
    .flatMap((path) =>
      textOf(path)
        .split("\n")
        .flatMap((line, index) => (pattern.test(line) ? [`${path}:${index + 1}: ${line.trim()}`] : [])),
    );
}
