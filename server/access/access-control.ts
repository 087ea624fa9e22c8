/**
 * What guards the ports: certificates and the gate, each taken anew when its files change.
 *
 * @module
 */

import { readFileSync } from "node:fs";
import { dirname, resolve } from "node:path";
import type { Clock } from "../clock.ts";
import { type AccessFile, parseAccessFile } from "../config/access-file.ts";
import type { Limits } from "../limits.ts";
import type { Logger } from "../telemetry/logger.ts";
import type { AccessStats } from "../telemetry/stats.ts";
import { Certificates, type TlsFiles } from "./certificates.ts";
import { type Forbidden, Gate } from "./gate.ts";
import { RefusalLog } from "./refusal-log.ts";
import { Reload, type TakenFile } from "./reload.ts";

/** What guards the ports. */
export interface AccessOptions {
  /** The access file; undefined lets everybody do everything. */
  readonly accessFile: string | undefined;
  /** The certificates; undefined serves without TLS. */
  readonly tls: TlsFiles | undefined;
}

/** Certificates and gate, with what keeps them up to date. */
export class AccessControl {
  readonly certificates: Certificates | undefined;
  readonly gate: Gate | undefined;
  /** Told of each call that a caller's role does not allow. */
  onForbidden: (refused: Forbidden) => void = () => {};
  /** Told of each file that was taken anew. */
  onTaken: (taken: TakenFile) => void = () => {};
  readonly stats: AccessStats = { refused: new Map(), certificateExpiresMs: 0 };
  readonly #reloads: Reload[] = [];

  /** @throws Error or ConfigError when a file cannot be used */
  constructor(
    { accessFile, tls }: AccessOptions,
    { limits, clock, logger }: { limits: Limits; clock: Clock; logger: Logger },
  ) {
    const { stats } = this;
    const intervalMs = limits.accessCheckMs;
    const onTaken = (taken: TakenFile): void => this.onTaken(taken);
    if (tls !== undefined) {
      const certificates = new Certificates(tls, clock);
      this.certificates = certificates;
      stats.certificateExpiresMs = certificates.expiresMs;
      const take = (): void => {
        certificates.reload();
        stats.certificateExpiresMs = certificates.expiresMs;
      };
      const files = (): readonly string[] => certificates.paths;
      this.#reloads.push(new Reload({ what: "the certificate", files, take, onTaken, intervalMs, logger }));
    }
    if (accessFile === undefined) return;
    let file = readAccess(accessFile);
    const log = new RefusalLog(logger, clock, limits.maxRefusalLinesPerSecond);
    const gate = new Gate(file, {
      limits,
      clock,
      stats,
      log,
      onForbidden: (refused) => this.onForbidden(refused),
    });
    this.gate = gate;
    const take = (): void => {
      const changed = readAccess(accessFile);
      gate.change(changed);
      file = changed;
    };
    const files = (): readonly string[] => [accessFile, ...keyFiles(file)];
    this.#reloads.push(new Reload({ what: "the access file", files, take, onTaken, intervalMs, logger }));
  }

  /** Looks at the files at once. Resolves when what has changed is taken or refused. */
  async check(): Promise<void> {
    await Promise.all(this.#reloads.map((reload) => reload.check()));
  }

  /** Watches no more. */
  close(): void {
    for (const reload of this.#reloads) reload.close();
  }
}

function readAccess(path: string): AccessFile {
  const file = parseAccessFile(readFileSync(path, "utf8"), path);
  const { jwt } = file;
  if (jwt === undefined || isRemote(jwt.jwks)) return file;
  return { ...file, jwt: { ...jwt, jwks: resolve(dirname(path), jwt.jwks) } };
}

function keyFiles({ jwt }: AccessFile): readonly string[] {
  return jwt === undefined || isRemote(jwt.jwks) ? [] : [jwt.jwks];
}

function isRemote(jwks: string): boolean {
  return /^https?:/i.test(jwks);
}
