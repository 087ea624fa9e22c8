import { globSync, readFileSync } from "node:fs";
import { join, relative } from "node:path";

/** One `@example` of a doc comment. */
export interface Example {
  /** Where it stands: the file, relative to the package, and the line. */
  readonly place: string;
  readonly code: string;
}

const docComment = /\/\*\*[\s\S]*?\*\//g;

/** Finds the sources of a package, without tests and what only tests use. */
export function packageSources(root: string): string[] {
  return globSync("**/*.ts", {
    cwd: root,
    exclude: ["**/*.test.ts", "test-kit/**", "node_modules/**", "dist/**"],
  })
    .map((file) => join(root, file))
    .toSorted();
}

/** Takes every example out of the doc comments of a file. */
export function examplesOf(root: string, file: string): Example[] {
  const source = readFileSync(file, "utf8");
  return [...source.matchAll(docComment)].flatMap((match) => {
    const lines = match[0].split("\n").map((line) => line.replace(/^\s*(?:\/\*\*|\*\/|\* ?)/, ""));
    const line = source.slice(0, match.index).split("\n").length;
    return examplesIn(lines).map((code) => ({ place: `${relative(root, file)}:${line}`, code }));
  });
}

function examplesIn(lines: readonly string[]): string[] {
  const examples: string[][] = [];
  let current: string[] | undefined;
  for (const line of lines) {
    if (line.startsWith("@example")) {
      current = [];
      examples.push(current);
    } else if (/^@\w+/.test(line)) {
      current = undefined;
    } else {
      current?.push(line);
    }
  }
  return examples.map((code) => `${code.join("\n").trim()}\n`);
}

/** Takes every program out of a Markdown file. */
export function examplesOfMarkdown(root: string, file: string): Example[] {
  const source = readFileSync(file, "utf8");
  return [...source.matchAll(/^```ts\n([\s\S]*?)^```$/gm)].map((match) => ({
    place: `${relative(root, file)}:${source.slice(0, match.index).split("\n").length}`,
    code: match[1] ?? "",
  }));
}

/** The names that an index file re-exports from the package's own files. */
export function ownExports(indexFile: string): string[] {
  const source = readFileSync(indexFile, "utf8");
  return [...source.matchAll(/export (?:type )?\{([^}]*)\} from "\.\//g)].flatMap((match) =>
    (match[1] ?? "")
      .split(",")
      .map((name) => name.replace(/^\s*(?:type )?/, "").trim())
      .filter((name) => name !== ""),
  );
}

/** The doc comment in front of an exported declaration; undefined when there is none. */
export function docOf(sources: readonly string[], name: string): string | undefined {
  const kinds = "(?:async )?(?:class|function|interface|type|const)";
  const declaration = new RegExp(`(/\\*\\*(?:(?!\\*/)[\\s\\S])*\\*/)\\nexport ${kinds} ${name}\\b`);
  for (const file of sources) {
    const match = declaration.exec(readFileSync(file, "utf8"));
    if (match) return match[1];
  }
  return undefined;
}
