/**
 * The names in a client's certificate.
 *
 * @module
 */

import type { PeerCertificate } from "node:tls";

/**
 * One alternative name as Node writes it: a value that could be taken for several is in JSON quotes, so a comma in a name
 * cannot smuggle in another. Source: Node.js, TLS, `subjectaltname`.
 */
const alternativeName = /([A-Za-z ]+):("(?:[^"\\]|\\.)*"|[^,"]*)(?:, |$)/y;

/** All names, as the access file writes them: `DNS:…`, `URI:…`, `CN=…`. */
export function namesOf({ subject, subjectaltname = "" }: PeerCertificate): string[] {
  const names: string[] = [];
  alternativeName.lastIndex = 0;
  while (alternativeName.lastIndex < subjectaltname.length) {
    const match = alternativeName.exec(subjectaltname);
    // What cannot be understood names nobody.
    if (match === null) return [];
    names.push(`${match[1]}:${match[2]}`);
  }
  const common: unknown = subject?.CN;
  if (typeof common === "string") names.push(`CN=${common}`);
  return names;
}
