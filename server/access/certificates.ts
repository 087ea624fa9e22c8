/**
 * The server's certificate and key, and whose client certificates it trusts, from files that may change.
 *
 * @module
 */

import { X509Certificate } from "node:crypto";
import { readFileSync } from "node:fs";
import { createSecureContext } from "node:tls";
import type { Clock } from "../clock.ts";

/** Where the certificates are, and what clients must show. */
export interface TlsFiles {
  /** The certificate with its chain, PEM. */
  readonly cert: string;
  /** Its private key, PEM. */
  readonly key: string;
  /** The authorities whose client certificates are trusted, PEM; undefined asks clients for none. */
  readonly clientCa: string | undefined;
  /** Whether a client without such a certificate may connect. */
  readonly clientAuth: "required" | "optional";
}

/** Certificates as TLS takes them. */
export interface LoadedCertificates {
  readonly cert: Buffer;
  readonly key: Buffer;
  readonly ca: Buffer | undefined;
}

/** Certificates that serve. */
export class Certificates {
  readonly files: TlsFiles;
  readonly #clock: Clock;
  readonly #listeners = new Set<(loaded: LoadedCertificates) => void>();
  #current: LoadedCertificates;
  #expiresMs = 0;

  /** @throws Error when the files cannot be used */
  constructor(files: TlsFiles, clock: Clock) {
    this.files = files;
    this.#clock = clock;
    this.#current = this.#load();
  }

  /** What serves at this moment. */
  get current(): LoadedCertificates {
    return this.#current;
  }

  /** When the certificate expires, in milliseconds since the Unix epoch. */
  get expiresMs(): number {
    return this.#expiresMs;
  }

  /** The files' paths. */
  get paths(): readonly string[] {
    const { cert, key, clientCa } = this.files;
    return clientCa === undefined ? [cert, key] : [cert, key, clientCa];
  }

  /** Tells a listener of what serves from now on. @returns a function that stops that */
  onChange(listener: (loaded: LoadedCertificates) => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  /**
   * Takes the files anew; connections that are open keep what they have.
   *
   * @throws Error when they cannot be used; what was there before still serves
   */
  reload(): void {
    this.#current = this.#load();
    for (const listener of this.#listeners) listener(this.#current);
  }

  #load(): LoadedCertificates {
    const { cert, key, clientCa } = this.files;
    const loaded = {
      cert: readFileSync(cert),
      key: readFileSync(key),
      ca: clientCa === undefined ? undefined : readFileSync(clientCa),
    };
    const { validToDate } = parsed(loaded.cert, cert);
    if (loaded.ca !== undefined) parsed(loaded.ca, clientCa ?? "");
    if (validToDate.getTime() <= this.#clock.wallMs()) {
      throw new Error(`${cert}: the certificate expired on ${validToDate.toISOString()}`);
    }
    try {
      // Refuses a key that belongs to another certificate, as in the middle of a rotation.
      createSecureContext({ cert: loaded.cert, key: loaded.key, ...(loaded.ca && { ca: loaded.ca }) });
    } catch (cause) {
      throw new Error(`${cert} and ${key} cannot be used together: ${(cause as Error).message}`, { cause });
    }
    this.#expiresMs = validToDate.getTime();
    return loaded;
  }
}

function parsed(pem: Buffer, file: string): X509Certificate {
  try {
    return new X509Certificate(pem);
  } catch (cause) {
    throw new Error(`${file} is no certificate in PEM: ${(cause as Error).message}`, { cause });
  }
}
