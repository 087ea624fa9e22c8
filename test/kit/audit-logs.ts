/**
 * Audit logs over files of their own.
 *
 * @module
 */

import { join } from "node:path";
import { type Limits, resolveLimits } from "../../server/limits.ts";
import { noTarget } from "../../server/store/audit-entry.ts";
import { type AuditChange, type AuditFailurePolicy, AuditLog } from "../../server/store/audit-log.ts";
import { StoreClient } from "../../server/store/store-client.ts";
import type { Logger } from "../../server/telemetry/logger.ts";
import { clockOf } from "./clocks.ts";
import { type TestFolder, testFolder } from "./folder.ts";

/** What a log is opened with. */
export interface AuditLogOptions {
  readonly limits?: Partial<Limits>;
  /** Default: the folder's own; null keeps the log in memory. */
  readonly file?: string | null;
  /** Default: refuse. */
  readonly onFailure?: AuditFailurePolicy;
  /** How long to wait for a file that somebody has locked. Default 1 s. */
  readonly maxLockMs?: number;
  /** Default: none. */
  readonly logger?: Logger;
}

/** Logs in one folder, one after the other, with a clock that stands still unless it is moved. */
export class AuditLogs implements AsyncDisposable {
  nowMs = Date.UTC(2026, 0, 1);
  readonly folder: TestFolder;
  readonly #open: { audit: AuditLog; client: StoreClient }[] = [];

  private constructor(folder: TestFolder) {
    this.folder = folder;
  }

  static async make(): Promise<AuditLogs> {
    return new AuditLogs(await testFolder());
  }

  /** The file of the logs. */
  get file(): string {
    return join(this.folder.path, "leat.sqlite");
  }

  /** Opens a log. */
  open(options: AuditLogOptions = {}): AuditLog {
    const { limits, file = this.file, onFailure = "refuse", maxLockMs = 1_000, logger } = options;
    const client = new StoreClient({ file: file ?? undefined, maxLockMs, maxPages: undefined }, undefined);
    const audit = new AuditLog({
      client,
      durable: file !== null,
      limits: resolveLimits(limits),
      clock: clockOf(() => this.nowMs),
      logger,
      onFailure,
    });
    this.#open.push({ audit, client });
    return audit;
  }

  /** Closes all logs that are open. */
  async close(): Promise<void> {
    for (const { audit, client } of this.#open.splice(0)) {
      await audit.close();
      await client.close();
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
    await this.folder[Symbol.asyncDispose]();
  }
}

/** A change of a module of this name. */
export function auditChange(name: string, more: Partial<AuditChange> = {}): AuditChange {
  return {
    actor: { kind: "token", name: "deployer", roles: ["operator"], peer: "127.0.0.1:1" },
    action: "leat.v1.ModuleService/LoadModule",
    target: { ...noTarget, kind: "module", name, version: "1" },
    detail: "",
    ...more,
  };
}

/** Adds entries about m1, m2 and so on, one after the other. */
export async function addEntries(audit: AuditLog, count: number, from = 1): Promise<void> {
  for (let n = from; n < from + count; n++) await audit.note(auditChange(`m${n}`));
}
