/**
 * Tells callers what is known of a module's signature.
 *
 * @module
 */

import { create, type MessageInitShape } from "@bufbuild/protobuf";
import { timestampFromMs } from "@bufbuild/protobuf/wkt";
import {
  type ModuleSignature as ModuleSignatureMessage,
  ModuleSignatureSchema,
  type ModuleSignerSchema,
  SignatureState,
} from "@leat/proto";
import type { ModuleEntry } from "../registry/module-catalog.ts";
import { type ModuleSignature, problemOf } from "../registry/module-signatures.ts";
import { shownKeyId } from "../signing/keys.ts";
import type { Finding, Verdict } from "../signing/verify-module.ts";

/** @param refused - whether the module must not run for it */
export function describeSignature(
  { name, version }: ModuleEntry,
  { detached, timeMs, judgement }: ModuleSignature,
  refused: boolean,
): ModuleSignatureMessage {
  const problem = problemOf(`${name}@${version}`, judgement);
  return create(ModuleSignatureSchema, {
    state: judgement === undefined ? SignatureState.UNSPECIFIED : stateOf(judgement.verdict),
    signers: (judgement?.findings ?? []).map(describeSigner),
    detached: detached.length > 0,
    problem: problem === undefined ? "" : `${problem.reason}: ${problem.message}`,
    refused,
    time: timestampFromMs(Math.floor(timeMs)),
  });
}

function stateOf({ t }: Verdict): SignatureState {
  if (t === "signed") return SignatureState.VERIFIED;
  return t === "unsigned" ? SignatureState.UNSIGNED : SignatureState.NOT_VERIFIED;
}

function describeSigner(finding: Finding): MessageInitShape<typeof ModuleSignerSchema> {
  if (finding.t === "unknown-key") return { keyId: finding.keyId, problem: finding.problem };
  const { name, key } = finding.key;
  const known = { key: name, keyId: shownKeyId(key.id) };
  return finding.t === "signed" ? { ...known, counts: true } : { ...known, problem: finding.problem };
}
