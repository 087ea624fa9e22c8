/**
 * Fails when the protocol breaks its users: compares the `.proto` files with those of `origin/main`.
 * On main itself it compares them with what they were before their last change: with the last
 * commit while they are being edited, else with the parent of the commit that changed them.
 * Another commit to compare with can be given as the argument. Runs at the top of a repository.
 *
 * A break that is meant says so in its commit, on a line of its own: `Breaks-Protocol: why`.
 *
 * @module
 */

import "./runtime.js";
import { spawnSync } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { toolEnvironment } from "./root.ts";

const sources = ["buf.yaml", "proto/**/*.proto"].map((glob) => `:(glob)${glob}`);

function git(...args: string[]): string | undefined {
  const run = spawnSync("git", args, { encoding: "utf8" });
  return run.status === 0 ? run.stdout.trim() : undefined;
}

/** The commit to compare with, or why there is none. */
function findBase(): { commit: string } | { none: string } {
  const asked = process.argv[2];
  if (asked !== undefined) return { commit: asked };
  const head = git("rev-parse", "--verify", "--quiet", "HEAD");
  if (head === undefined) return { none: "there is no commit yet" };
  const main = git("rev-parse", "--verify", "--quiet", "origin/main");
  if (main !== undefined && main !== head) return unlessMeant(main, `${main}..HEAD`);
  if (git("status", "--porcelain", "--", ...sources) !== "") return { commit: "HEAD" };

  const changed = git("log", "-1", "--format=%H", "--", ...sources);
  if (!changed) return { none: "no commit has changed the protocol" };
  if (git("rev-parse", "--verify", "--quiet", `${changed}^`) === undefined) {
    return { none: "the history begins with the present protocol" };
  }
  return unlessMeant(`${changed}^`, `${changed}^..${changed}`);
}

/** The commit, unless one of the commits since breaks the protocol on purpose. */
function unlessMeant(commit: string, since: string): { commit: string } | { none: string } {
  const trailer = "--format=%(trailers:key=Breaks-Protocol,valueonly,separator=%x20)";
  const reasons = git("log", trailer, since, "--", ...sources)
    ?.replaceAll(/\n+/g, " ")
    .trim();
  return reasons ? { none: `the protocol is broken on purpose: ${reasons}` } : { commit };
}

function compareWith(commit: string): number {
  if (!git("ls-tree", "--name-only", commit, "buf.yaml")) {
    process.stdout.write(`breaking changes: none, there was no protocol at ${commit}\n`);
    return 0;
  }
  const folder = mkdtempSync(join(tmpdir(), "leat-protocol-"));
  try {
    const archive = join(folder, "before.tar");
    if (git("archive", "--format=tar", "-o", archive, commit, "buf.yaml", "proto") === undefined) {
      process.stderr.write(`breaking changes: cannot read the protocol at ${commit}\n`);
      return 1;
    }
    const buf = spawnSync("buf", ["breaking", "--against", archive], {
      env: toolEnvironment,
      stdio: "inherit",
    });
    return buf.status === 0 ? 0 : 1;
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

const base = findBase();
if ("none" in base) process.stdout.write(`breaking changes: not compared, ${base.none}\n`);
else process.exitCode = compareWith(base.commit);
