/**
 * The server's certificates as grpc-js takes them.
 *
 * @module
 */

import { experimental, ServerCredentials } from "@grpc/grpc-js";
import type { Certificates, LoadedCertificates } from "../access/certificates.ts";

/** Credentials of the gRPC door: without TLS where there are no certificates, else with those that serve at each moment. */
export function grpcCredentials(certificates: Certificates | undefined): ServerCredentials {
  if (certificates === undefined) return ServerCredentials.createInsecure();
  const { clientCa, clientAuth } = certificates.files;
  const provider = new Provider(certificates);
  return experimental.createCertificateProviderServerCredentials(
    provider,
    clientCa === undefined ? null : provider,
    clientCa !== undefined && clientAuth === "required",
  );
}

type IdentityListener = Parameters<experimental.CertificateProvider["addIdentityCertificateListener"]>[0];
type AuthorityListener = Parameters<experimental.CertificateProvider["addCaCertificateListener"]>[0];

/** Tells grpc-js of what serves, at once and at each change. */
class Provider implements experimental.CertificateProvider {
  readonly #certificates: Certificates;
  readonly #stops = new Map<unknown, () => void>();

  constructor(certificates: Certificates) {
    this.#certificates = certificates;
  }

  addIdentityCertificateListener(listener: IdentityListener): void {
    this.#add(listener, ({ cert, key }) => listener({ certificate: cert, privateKey: key }));
  }

  removeIdentityCertificateListener(listener: IdentityListener): void {
    this.#remove(listener);
  }

  addCaCertificateListener(listener: AuthorityListener): void {
    this.#add(listener, ({ ca }) => listener(ca === undefined ? null : { caCertificate: ca }));
  }

  removeCaCertificateListener(listener: AuthorityListener): void {
    this.#remove(listener);
  }

  #add(listener: unknown, tell: (loaded: LoadedCertificates) => void): void {
    this.#stops.set(listener, this.#certificates.onChange(tell));
    // grpc-js begins to listen to the answer in the same turn.
    process.nextTick(() => tell(this.#certificates.current));
  }

  #remove(listener: unknown): void {
    this.#stops.get(listener)?.();
    this.#stops.delete(listener);
  }
}
