/**
 * Certificates for tests, made when they are needed: Node signs, and the little of X.509 that it takes is written here.
 *
 * @module
 */

import { generateKeyPairSync, type KeyObject, randomBytes, sign } from "node:crypto";

/** A certificate with its key, PEM. */
export interface TestCertificate {
  readonly cert: string;
  readonly key: string;
}

/** An authority that signs certificates. */
export interface TestAuthority extends TestCertificate {
  /** Signs a certificate for a name. */
  issue(name: string, options?: CertificateOptions): TestCertificate;
}

/** What a certificate says beside its name. */
export interface CertificateOptions {
  /** Alternative names that are URIs. */
  readonly uris?: readonly string[];
  /** When it expires. Default: in a day. */
  readonly notAfter?: Date;
}

const dayMs = 24 * 3_600_000;

/** DER: a value with its tag and length. Source: ITU-T X.690, 8.1. */
function der(tag: number, ...parts: readonly Uint8Array[]): Buffer {
  const body = Buffer.concat(parts);
  if (body.length < 128) return Buffer.concat([Buffer.from([tag, body.length]), body]);
  const length = Buffer.from(body.length.toString(16).padStart(4, "0"), "hex");
  return Buffer.concat([Buffer.from([tag, 0x80 | length.length]), length, body]);
}

const sequence = (...parts: readonly Uint8Array[]): Buffer => der(0x30, ...parts);
const octets = (bytes: Uint8Array): Buffer => der(0x04, bytes);
const bits = (bytes: Uint8Array): Buffer => der(0x03, Buffer.from([0]), bytes);
const oid = (hex: string): Buffer => der(0x06, Buffer.from(hex, "hex"));
const yes = der(0x01, Buffer.from([0xff]));

/** ecdsa-with-SHA256. */
const algorithm = sequence(oid("2a8648ce3d040302"));

function commonName(name: string): Buffer {
  return sequence(der(0x31, sequence(oid("550403"), der(0x0c, Buffer.from(name)))));
}

function time(date: Date): Buffer {
  return der(0x18, Buffer.from(`${date.toISOString().replaceAll(/[-:T]|\.\d+/g, "")}`));
}

function alternativeNames(name: string, uris: readonly string[]): Buffer {
  const names = [
    der(0x82, Buffer.from(name)),
    der(0x87, Buffer.from([127, 0, 0, 1])),
    ...uris.map((uri) => der(0x86, Buffer.from(uri))),
  ];
  return sequence(oid("551d11"), octets(sequence(...names)));
}

function pem(label: string, bytes: Buffer): string {
  const lines = bytes.toString("base64").match(/.{1,64}/g) ?? [];
  return `-----BEGIN ${label}-----\n${lines.join("\n")}\n-----END ${label}-----\n`;
}

function makeKeys(): { publicKey: KeyObject; privateKey: KeyObject } {
  return generateKeyPairSync("ec", { namedCurve: "P-256" });
}

/** What is signed of a certificate. Source: RFC 5280, 4.1. */
function certificate(
  subject: string,
  publicKey: KeyObject,
  issuer: { readonly name: string; readonly key: KeyObject },
  { uris = [], notAfter = new Date(Date.now() + dayMs) }: CertificateOptions,
  isAuthority: boolean,
): string {
  const constraints = sequence(oid("551d13"), yes, octets(sequence(...(isAuthority ? [yes] : []))));
  const extensions = [constraints, ...(isAuthority ? [] : [alternativeNames(subject, uris)])];
  const toSign = sequence(
    der(0xa0, der(0x02, Buffer.from([2]))),
    der(0x02, Buffer.concat([Buffer.from([1]), randomBytes(8)])),
    algorithm,
    commonName(issuer.name),
    sequence(time(new Date(notAfter.getTime() - 30 * dayMs)), time(notAfter)),
    commonName(subject),
    publicKey.export({ type: "spki", format: "der" }),
    der(0xa3, sequence(...extensions)),
  );
  return pem("CERTIFICATE", sequence(toSign, algorithm, bits(sign("sha256", toSign, issuer.key))));
}

function keyText(key: KeyObject): string {
  return key.export({ type: "pkcs8", format: "pem" }).toString();
}

/** Makes an authority. */
export function makeAuthority(name = "Test authority"): TestAuthority {
  const own = makeKeys();
  const issuer = { name, key: own.privateKey };
  return {
    cert: certificate(name, own.publicKey, issuer, {}, true),
    key: keyText(own.privateKey),
    issue: (subject, options = {}) => {
      const keys = makeKeys();
      return {
        cert: certificate(subject, keys.publicKey, issuer, options, false),
        key: keyText(keys.privateKey),
      };
    },
  };
}
