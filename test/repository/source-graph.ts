/**
 * Who imports whom in the repository, and how long the functions are, read from the syntax trees.
 *
 * @module
 */

import { posix } from "node:path";
import { parseSync, Visitor } from "vite";
import { repositoryFiles, sourceFiles, textOf } from "./source-files.ts";

/** One import or re-export of a file. */
export interface Import {
  /** The importing file, from the top of the repository. */
  from: string;
  /** What it writes. */
  specifier: string;
  /** The imported file of this repository; undefined for packages of others and for Node's own. */
  to: string | undefined;
  /** Gone at run time: `import type`. */
  typeOnly: boolean;
  /** `import()`: runs late, so it closes no cycle. */
  dynamic: boolean;
}

/** A function with its place and the lines of code that it has, comments and blank lines aside. */
export interface FunctionLength {
  path: string;
  line: number;
  name: string;
  codeLines: number;
}

/** The doors of the workspace's packages: `@leat/sdk` to `sdk/index.ts`. */
export const packageDoors: ReadonlyMap<string, string> = new Map(
  repositoryFiles
    .filter((path) => posix.basename(path) === "package.json" && path !== "package.json")
    .flatMap((path) => {
      const manifest = JSON.parse(textOf(path)) as { name: string; exports?: Record<string, unknown> };
      return Object.entries(manifest.exports ?? {}).flatMap(([key, target]): [string, string][] =>
        // What has conditions is for another compiler.
        typeof target === "string"
          ? [[posix.join(manifest.name, key), posix.join(posix.dirname(path), target)]]
          : [],
      );
    }),
);

const sources: ReadonlySet<string> = new Set(sourceFiles);
const trees = new Map<string, ReturnType<typeof parseSync>>();

function parsed(path: string): ReturnType<typeof parseSync> {
  let tree = trees.get(path);
  if (!tree) {
    tree = parseSync(path, textOf(path));
    if (tree.errors.length > 0) throw new Error(`${path} does not parse: ${tree.errors[0]?.message}`);
    trees.set(path, tree);
  }
  return tree;
}

/** Lists the imports of a file. */
export function importsOf(path: string): Import[] {
  const text = textOf(path);
  const { module } = parsed(path);
  const statements = [
    ...module.staticImports.map((statement) => ({ ...statement, specifier: statement.moduleRequest.value })),
    ...module.staticExports.flatMap((statement) => {
      const specifier = statement.entries[0]?.moduleRequest?.value;
      return specifier === undefined ? [] : [{ ...statement, specifier }];
    }),
  ].map(({ specifier, start, end }) => ({
    specifier,
    typeOnly: /^(?:import|export)\s+type\b/.test(text.slice(start, end)),
    dynamic: false,
  }));
  const dynamic = module.dynamicImports.flatMap(({ moduleRequest: { start, end } }) => {
    const literal = /^["'`]([^"'`$]+)["'`]$/.exec(text.slice(start, end));
    return literal?.[1] === undefined ? [] : [{ specifier: literal[1], typeOnly: false, dynamic: true }];
  });
  return [...statements, ...dynamic].map((found) => ({
    ...found,
    from: path,
    to: resolve(path, found.specifier),
  }));
}

function resolve(from: string, specifier: string): string | undefined {
  if (specifier.startsWith(".")) return posix.join(posix.dirname(from), specifier);
  return packageDoors.get(specifier);
}

/**
 * The files of this repository that a file names in its text, from its own folder or from the top,
 * as `new URL("./entry.ts", import.meta.url)` does. What a template fills in may be anything.
 */
export function filesNamedIn(path: string): string[] {
  const named: string[] = [];
  const folder = posix.dirname(path);
  new Visitor({
    Literal(node) {
      if (typeof node.value !== "string" || !/\.m?[tj]s$/.test(node.value)) return;
      const candidates = [posix.join(folder, node.value), node.value];
      named.push(...candidates.filter((candidate) => sources.has(candidate)));
    },
    TemplateLiteral(node) {
      const parts = node.quasis.map(({ value }) => value.raw);
      if (!/^\.{1,2}\//.test(parts[0] ?? "")) return;
      const pattern = posix.join(folder, parts.join("\0")).replaceAll(/[^\w/\0]/g, "\\$&");
      const whole = new RegExp(`^${pattern.replaceAll("\0", "[\\w.-]+")}$`);
      named.push(...sourceFiles.filter((file) => whole.test(file)));
    },
  }).visit(parsed(path).program);
  return named;
}

/** Measures every function of a file. Callbacks of `describe` count as files do, not as functions. */
export function functionsOf(path: string): FunctionLength[] {
  const text = textOf(path);
  const { program } = parsed(path);
  const found: FunctionLength[] = [];
  const exempt = new Set<number>();
  const measure = (node: { start: number; end: number; id?: { name: string } | null }): void => {
    if (exempt.has(node.start)) return;
    const line = text.slice(0, node.start).split("\n").length;
    found.push({
      path,
      line,
      name: node.id?.name ?? "function",
      codeLines: codeLines(text.slice(node.start, node.end)),
    });
  };
  new Visitor({
    CallExpression(node) {
      if (node.callee.type !== "Identifier" || node.callee.name !== "describe") return;
      for (const argument of node.arguments) exempt.add(argument.start);
    },
    FunctionDeclaration: measure,
    FunctionExpression: measure,
    ArrowFunctionExpression: (node) => measure({ start: node.start, end: node.end }),
  }).visit(program);
  return found;
}

function codeLines(text: string): number {
  return text.split("\n").filter((line) => !/^\s*(?:$|\/\/|\/\*|\*)/.test(line)).length;
}
