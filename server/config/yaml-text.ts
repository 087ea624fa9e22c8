/**
 * Reads YAML and remembers where each value was written.
 *
 * @module
 */

import {
  type Document,
  isAlias,
  isMap,
  isScalar,
  isSeq,
  LineCounter,
  type Node,
  parseAllDocuments,
} from "yaml";
import { ConfigError, type ConfigProblem } from "./config-error.ts";
import type { Path } from "./validate.ts";

/** One document of a YAML text. */
export interface YamlDocument {
  /** What it says, as plain values; null when it is empty. */
  readonly value: unknown;
  /** Where the value at a path was written, or the key at it where `ofKey`: `leat.yaml:3:12`. A path that is not there gives its nearest parent. */
  where(path: Path, ofKey?: boolean): string;
}

/**
 * Reads all documents of a text.
 *
 * @param text - the YAML
 * @param fileName - what messages call it
 * @throws ConfigError with every syntax error and every key that is there twice
 */
export function readYaml(text: string, fileName: string): YamlDocument[] {
  const lines = new LineCounter();
  const parsed = parseAllDocuments(text, { lineCounter: lines, prettyErrors: false });
  const documents = Array.isArray(parsed) ? parsed : [];
  const position = (offset: number) => {
    const { line, col } = lines.linePos(offset);
    return `${fileName}:${line}:${col}`;
  };
  const problems = documents
    .flatMap(({ errors }) => errors)
    .map(({ message, pos }): ConfigProblem => ({ where: position(pos[0]), key: "", problem: message }));
  if (problems.length > 0) throw new ConfigError(problems);
  return documents.map((document) => ({
    value: plainValue(document, fileName),
    where: (path, ofKey = false) => position(offsetOf(document, path, ofKey)),
  }));
}

/** Resolves aliases, of which there may not be so many that the text explodes. */
function plainValue(document: Document.Parsed, fileName: string): unknown {
  try {
    return document.toJS({ maxAliasCount: 100 });
  } catch (error) {
    const problem = error instanceof Error ? error.message : String(error);
    throw new ConfigError([{ where: fileName, key: "", problem }]);
  }
}

function offsetOf(document: Document.Parsed, path: Path, ofKey: boolean): number {
  let node: Node | null = document.contents;
  let offset = node?.range?.[0] ?? document.range[0];
  for (const [depth, part] of path.entries()) {
    if (isAlias(node)) node = node.resolve(document) ?? null;
    let next: unknown;
    let key: unknown;
    if (isMap(node)) {
      const pair = node.items.find(
        (item) => String(isScalar(item.key) ? item.key.value : item.key) === String(part),
      );
      next = pair?.value;
      key = pair?.key;
    } else if (isSeq(node)) {
      next = node.items[Number(part)];
    }
    const wanted = ofKey && depth === path.length - 1 ? key : (next ?? key);
    offset = rangeStart(wanted) ?? offset;
    if (!isMap(next) && !isSeq(next) && !isAlias(next)) break;
    node = next;
  }
  return offset;
}

function rangeStart(node: unknown): number | undefined {
  const range = (node as { range?: readonly number[] | null } | null | undefined)?.range;
  return range?.[0];
}
