import { expect, test } from "vitest";
import { textOf } from "./source-files.ts";

/** The rows of the table of dependencies: names, versions, licence. */
const rows = [
  ...textOf("docs/architecture.md").matchAll(/^\| `([^`]+)`( and others)? \| ([\d., ]+) \| ([^|]+) \|/gm),
].map(([, name = "", others, versions = "", licence = ""]) => ({
  name,
  others: others !== undefined,
  versions: versions.split(", "),
  licence: licence.trim(),
}));

const declared = ["proto", "sdk", "server", "guest/assemblyscript"].flatMap((folder) => {
  const manifest = JSON.parse(textOf(`${folder}/package.json`)) as { dependencies?: Record<string, string> };
  return Object.entries(manifest.dependencies ?? {}).filter(([name]) => !name.startsWith("@leat/"));
});

const locked = JSON.parse(textOf("package-lock.json")) as {
  packages: Record<string, { version?: string; license?: string }>;
};

test("every dependency of a published package is in the table of docs/architecture.md, with its version and licence", () => {
  const wrong = declared.filter(([name, version]) => {
    const row = rows.find((each) => each.name === name) ?? rows.find((each) => each.others);
    const license = Object.entries(locked.packages).find(
      ([path, found]) => path.endsWith(`node_modules/${name}`) && found.version === version,
    )?.[1].license;
    const asWritten = license?.replace(/[()]/g, "").replaceAll(" AND ", " and ");
    const covered = row?.name === name || (row?.others === true && name.startsWith("@opentelemetry/"));
    // The table names the two versions that OpenTelemetry's packages come in, and one that stands for its constants.
    const versionFits = row?.versions.includes(version) || name === "@opentelemetry/semantic-conventions";
    return !covered || !versionFits || row?.licence !== asWritten;
  });
  expect(wrong).toEqual([]);
});

test("the table of dependencies has none that no package declares", () => {
  const names = new Set(declared.map(([name]) => name));
  expect(rows.map(({ name }) => name).filter((name) => !names.has(name))).toEqual([]);
});
