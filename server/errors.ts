/**
 * The catalogue of errors: every reason with which a call or a load can fail, its gRPC
 * status and its message. `docs/errors.md` is checked against it.
 *
 * A bad record is not an error: it is a failure in a result, with a code from
 * {@link recordFailureCodes} or from the module.
 *
 * @module
 */

/** The gRPC statuses that the catalogue uses, by name. */
export type StatusName =
  | "CANCELLED"
  | "INVALID_ARGUMENT"
  | "DEADLINE_EXCEEDED"
  | "NOT_FOUND"
  | "ALREADY_EXISTS"
  | "ABORTED"
  | "RESOURCE_EXHAUSTED"
  | "FAILED_PRECONDITION"
  | "UNAVAILABLE"
  | "UNAUTHENTICATED"
  | "PERMISSION_DENIED"
  | "INTERNAL";

/** Names a limit, its value and what was measured. */
export interface LimitDetails {
  /** The limit's name, as in `limits` of `leat.yaml`. */
  limit: string;
  /** Its value. */
  value: number;
  /** What was measured. */
  measured: number;
  /** What it was measured on, when that is not plain. */
  where?: string;
}

interface Entry<Details> {
  readonly status: StatusName;
  readonly message: (details: Details) => string;
}

function entry<Details>(status: StatusName, message: (details: Details) => string): Entry<Details> {
  return { status, message };
}

function overLimit(subject: string): (details: LimitDetails) => string {
  return ({ limit, value, measured, where }) =>
    `${subject}${where ? ` (${where})` : ""}: measured ${measured}, the limit ${limit} is ${value}`;
}

/** Every reason, with its status and its message. The keys are stable: clients match on them. */
export const catalogue = {
  MODULE_NOT_WASM: entry(
    "INVALID_ARGUMENT",
    (d: { problem: string }) => `not a WebAssembly module: ${d.problem}`,
  ),
  MODULE_MALFORMED: entry(
    "INVALID_ARGUMENT",
    (d: { problem: string; offset: number }) =>
      `malformed WebAssembly module at byte ${d.offset}: ${d.problem}`,
  ),
  MODULE_TOO_LARGE: entry("INVALID_ARGUMENT", overLimit("the module is too large")),
  MODULE_LIMIT_EXCEEDED: entry("INVALID_ARGUMENT", overLimit("the module exceeds a limit")),
  MODULE_FEATURE_REFUSED: entry(
    "INVALID_ARGUMENT",
    (d: { feature: string; offset: number }) =>
      `the module uses ${d.feature}, which Leat does not run (byte ${d.offset})`,
  ),
  MODULE_IMPORT_FORBIDDEN: entry(
    "INVALID_ARGUMENT",
    (d: { import: string; problem: string }) => `the module imports ${d.import}: ${d.problem}`,
  ),
  MODULE_EXPORT_MISSING: entry(
    "INVALID_ARGUMENT",
    (d: { export: string; expected: string }) =>
      `the module does not export ${d.export}; expected ${d.expected}`,
  ),
  MODULE_EXPORT_MISMATCH: entry(
    "INVALID_ARGUMENT",
    (d: { export: string; expected: string; found: string }) =>
      `the module's export ${d.export} is ${d.found}; expected ${d.expected}`,
  ),
  MODULE_COMPILE_FAILED: entry(
    "INVALID_ARGUMENT",
    (d: { problem: string }) => `the module does not compile: ${d.problem}`,
  ),
  MODULE_COMPILE_TIMEOUT: entry("FAILED_PRECONDITION", overLimit("the module took too long to compile")),
  MODULE_WARMUP_FAILED: entry(
    "FAILED_PRECONDITION",
    (d: { module: string; problem: string }) => `module ${d.module} failed its warm-up: ${d.problem}`,
  ),
  MODULE_INIT_FAILED: entry(
    "FAILED_PRECONDITION",
    (d: { module: string; problem: string }) => `module ${d.module} refused its configuration: ${d.problem}`,
  ),
  MODULE_SCHEMA_INVALID: entry(
    "INVALID_ARGUMENT",
    (d: { at: string; problem: string }) =>
      `the module's configuration schema is not valid: ${d.at}: ${d.problem}`,
  ),
  MODULE_CONFIG_REFUSED: entry(
    "FAILED_PRECONDITION",
    (d: { module: string; field: string; problem: string }) =>
      `the schema of module ${d.module} refuses ${d.field}: ${d.problem}`,
  ),
  MODULE_NOT_FOUND: entry("NOT_FOUND", (d: { module: string }) => `no module ${d.module}`),
  MODULE_AMBIGUOUS: entry(
    "INVALID_ARGUMENT",
    (d: { module: string; versions: string }) =>
      `${d.module} has several versions (${d.versions}); name one as ${d.module}@VERSION`,
  ),
  MODULE_VERSION_BOUND: entry(
    "ALREADY_EXISTS",
    (d: { module: string; digest: string }) =>
      `${d.module} is bound to ${d.digest}; load other bytes under another version`,
  ),
  MODULE_IN_USE: entry(
    "FAILED_PRECONDITION",
    (d: { module: string; pipelines: string }) =>
      `module ${d.module} is used by ${d.pipelines}; delete or change that first`,
  ),
  MODULE_QUARANTINED: entry(
    "FAILED_PRECONDITION",
    (d: { module: string; digest: string; since: string; until: string; problem: string }) =>
      `module ${d.module} is in quarantine since ${d.since} until ${d.until}: ${d.problem}`,
  ),
  MODULE_UNSIGNED: entry(
    "FAILED_PRECONDITION",
    (d: { module: string }) => `module ${d.module} has no signature, and this server asks for one`,
  ),
  MODULE_SIGNATURE_MALFORMED: entry(
    "FAILED_PRECONDITION",
    (d: { module: string; problem: string }) =>
      `the signature of module ${d.module} cannot be read: ${d.problem}`,
  ),
  MODULE_SIGNATURE_INVALID: entry(
    "FAILED_PRECONDITION",
    (d: { module: string; key: string; problem: string }) =>
      `the signature of module ${d.module} in the name of key ${d.key} is wrong: ${d.problem}`,
  ),
  MODULE_SIGNER_UNKNOWN: entry(
    "FAILED_PRECONDITION",
    (d: { module: string; keys: string }) =>
      `module ${d.module} is signed by no key that this server knows (it names: ${d.keys})`,
  ),
  MODULE_SIGNER_REFUSED: entry(
    "FAILED_PRECONDITION",
    (d: { module: string; key: string; problem: string }) =>
      `module ${d.module} is signed by key ${d.key}, which ${d.problem}`,
  ),
  MODULE_NOT_ACTIVE: entry(
    "FAILED_PRECONDITION",
    (d: { module: string; versions: string }) =>
      `no version of ${d.module} is active (${d.versions} are loaded); activate one`,
  ),
  MODULE_NO_PREVIOUS: entry(
    "FAILED_PRECONDITION",
    (d: { module: string }) =>
      `no version of ${d.module} was active before the one that is and is still loaded`,
  ),
  MODULE_FILE_BROKEN: entry(
    "FAILED_PRECONDITION",
    (d: { digest: string; problem: string }) =>
      `the file of the module ${d.digest} cannot be used: ${d.problem}; load the same bytes again`,
  ),
  ROLLOUT_UNDER_WAY: entry(
    "FAILED_PRECONDITION",
    (d: { module: string; problem: string }) => `a rollout of ${d.module} is under way: ${d.problem}`,
  ),
  MODULE_VERSION_CHANGED: entry(
    "ABORTED",
    (d: { module: string; expected: string; active: string }) =>
      `${d.active === "" ? "no version" : `version ${d.active}`} of module ${d.module} is active, and not ${d.expected}: it was changed meanwhile`,
  ),
  ROLLOUT_NOT_FOUND: entry("NOT_FOUND", (d: { module: string }) => `no rollout of ${d.module}`),
  TOO_MANY_MODULES: entry("RESOURCE_EXHAUSTED", overLimit("too many modules are loaded")),
  PIPELINE_NOT_FOUND: entry("NOT_FOUND", (d: { pipeline: string }) => `no pipeline ${d.pipeline}`),
  PIPELINE_INVALID: entry(
    "INVALID_ARGUMENT",
    (d: { field: string; problem: string } & Partial<Pick<LimitDetails, "limit" | "value" | "measured">>) =>
      `invalid pipeline: ${d.field}: ${d.problem}`,
  ),
  PIPELINE_REVISION_NOT_FOUND: entry(
    "NOT_FOUND",
    (d: { pipeline: string; revision: number }) =>
      `pipeline ${d.pipeline} has no revision ${d.revision} that is kept`,
  ),
  PIPELINE_REVISION_CHANGED: entry(
    "ABORTED",
    (d: { pipeline: string; expected: number; serving: number }) =>
      `pipeline ${d.pipeline} is ${d.serving === 0 ? "not there" : `at revision ${d.serving}`}, and not ${d.expected === 0 ? "new" : `at ${d.expected}`}: it was changed meanwhile`,
  ),
  PIPELINE_NO_PREVIOUS: entry(
    "FAILED_PRECONDITION",
    (d: { pipeline: string; revision: number }) =>
      `no revision is kept that served before revision ${d.revision} of pipeline ${d.pipeline}`,
  ),
  CONFIG_INVALID: entry(
    "INVALID_ARGUMENT",
    (d: { problem: string }) => `the configuration cannot be used, and nothing has changed: ${d.problem}`,
  ),
  LIMITS_UNFIT: entry(
    "FAILED_PRECONDITION",
    (d: { pipeline: string; problem: string }) =>
      `the stored pipeline ${d.pipeline} asks for more than the new limits allow: ${d.problem}`,
  ),
  TOO_MANY_PIPELINES: entry("RESOURCE_EXHAUSTED", overLimit("too many pipelines are stored")),
  REQUEST_MALFORMED: entry("INVALID_ARGUMENT", (d: { problem: string }) => `malformed request: ${d.problem}`),
  REQUEST_INVALID: entry(
    "INVALID_ARGUMENT",
    (d: { field: string; problem: string }) => `invalid request: ${d.field}: ${d.problem}`,
  ),
  BATCH_MALFORMED: entry("INVALID_ARGUMENT", (d: { problem: string }) => `malformed batch: ${d.problem}`),
  BATCH_TOO_LARGE: entry("INVALID_ARGUMENT", overLimit("the batch is too large")),
  BATCH_TOO_MANY_RECORDS: entry("INVALID_ARGUMENT", overLimit("the batch has too many records")),
  STREAM_NOT_OPENED: entry("INVALID_ARGUMENT", () => "the first message of a stream must be open"),
  STREAM_OPENED_TWICE: entry("INVALID_ARGUMENT", () => "only the first message of a stream may be open"),
  STREAM_OUT_OF_SEQUENCE: entry(
    "INVALID_ARGUMENT",
    (d: { expected: string; received: string }) =>
      `batch out of sequence: expected ${d.expected}, received ${d.received}`,
  ),
  TOO_MANY_STREAMS: entry("RESOURCE_EXHAUSTED", overLimit("too many streams are open")),
  TOO_MANY_WATCHES: entry("RESOURCE_EXHAUSTED", overLimit("too many calls watch")),
  HEALTH_SERVICE_UNKNOWN: entry(
    "NOT_FOUND",
    (d: { service: string }) => `no service or pipeline ${d.service}`,
  ),
  QUEUE_FULL: entry("RESOURCE_EXHAUSTED", overLimit("the server's queue is full")),
  ISOLATION_FULL: entry("RESOURCE_EXHAUSTED", overLimit("pipelines in processes of their own")),
  QUEUE_TOO_LONG: entry("RESOURCE_EXHAUSTED", overLimit("the call would wait too long, in milliseconds")),
  DEADLINE_EXCEEDED: entry("DEADLINE_EXCEEDED", () => "the call's deadline passed"),
  CANCELLED: entry("CANCELLED", () => "the call was cancelled"),
  DRAINING: entry("UNAVAILABLE", () => "the server is draining; send the call to another server"),
  BREAKER_OPEN: entry(
    "UNAVAILABLE",
    (d: { module: string }) => `module ${d.module} broke too often of late and is not called for a while`,
  ),
  WORKER_LOST: entry(
    "UNAVAILABLE",
    (d: { problem: string }) => `the worker was lost before it could run the batch: ${d.problem}`,
  ),
  DEAD_LETTER_NOT_FOUND: entry("NOT_FOUND", (d: { id: string }) => `no dead letter ${d.id}`),
  STORE_UNAVAILABLE: entry(
    "UNAVAILABLE",
    (d: { problem: string }) => `the store cannot be used: ${d.problem}`,
  ),
  AUDIT_UNAVAILABLE: entry(
    "UNAVAILABLE",
    (d: { problem: string }) => `nothing was changed, since the audit log cannot be written: ${d.problem}`,
  ),
  AUDIT_ENTRY_NOT_FOUND: entry(
    "NOT_FOUND",
    (d: { sequence: string }) => `the audit log has no entry ${d.sequence}`,
  ),
  CREDENTIALS_MISSING: entry(
    "UNAUTHENTICATED",
    () => "the call shows no credentials; send a bearer token, or connect with a client certificate",
  ),
  CREDENTIALS_INVALID: entry("UNAUTHENTICATED", () => "the credentials are not valid here"),
  CREDENTIALS_EXPIRED: entry(
    "UNAUTHENTICATED",
    () => "the credentials are not valid any more; show fresh ones",
  ),
  KEYS_UNAVAILABLE: entry(
    "UNAVAILABLE",
    () => "the keys that tokens are checked with cannot be fetched at the moment",
  ),
  ROLE_MISSING: entry(
    "PERMISSION_DENIED",
    (d: { method: string; role: string }) => `${d.method} needs the role ${d.role}`,
  ),
  PIPELINE_FORBIDDEN: entry(
    "PERMISSION_DENIED",
    (d: { pipeline: string; role: string }) =>
      `the role ${d.role} is not granted for ${d.pipeline === "*" ? "all pipelines" : `pipeline ${d.pipeline}`}`,
  ),
  INLINE_CHAIN_FORBIDDEN: entry(
    "PERMISSION_DENIED",
    () => "running chains of modules that a call brings along needs a grant with inline",
  ),
  INTERNAL: entry("INTERNAL", (d: { problem: string }) => `internal error: ${d.problem}`),
} as const;

/** A reason from the catalogue. */
export type Reason = keyof typeof catalogue;

/** What a reason's message is made from. */
export type DetailsOf<R extends Reason> =
  Parameters<(typeof catalogue)[R]["message"]> extends [infer D]
    ? unknown extends D
      ? undefined
      : D
    : undefined;

/** An error from the catalogue: the only kind that crosses a boundary of the server. */
export class LeatError extends Error {
  override readonly name = "LeatError";
  /** The stable reason. */
  readonly reason: Reason;
  /** The gRPC status that the call ends with. */
  readonly status: StatusName;
  /** What the message was made from, as text by name: the metadata of `google.rpc.ErrorInfo`. */
  readonly metadata: Readonly<Record<string, string>>;
  /** How long to wait before a retry, in whole milliseconds, where that helps. */
  readonly retryAfterMs: number | undefined;

  constructor(
    reason: Reason,
    message: string,
    metadata: Readonly<Record<string, string>>,
    options?: { cause?: unknown; retryAfterMs?: number },
  ) {
    super(message, options?.cause === undefined ? undefined : { cause: options.cause });
    this.reason = reason;
    this.status = catalogue[reason].status;
    this.metadata = metadata;
    this.retryAfterMs = options?.retryAfterMs === undefined ? undefined : Math.ceil(options.retryAfterMs);
  }

  /** Turns anything that was thrown into an error of the catalogue; what is not one becomes `INTERNAL`, keeping its cause. */
  static from(thrown: unknown): LeatError {
    if (thrown instanceof LeatError) return thrown;
    const problem = thrown instanceof Error ? thrown.message : String(thrown);
    return leatError("INTERNAL", { problem }, { cause: thrown });
  }
}

/**
 * Makes an error of the catalogue.
 *
 * @example
 * throw leatError("MODULE_NOT_FOUND", { module: "upper@2" });
 */
export function leatError<R extends Reason>(
  reason: R,
  ...[details, options]: DetailsOf<R> extends undefined
    ? [details?: undefined, options?: { cause?: unknown; retryAfterMs?: number }]
    : [details: DetailsOf<R>, options?: { cause?: unknown; retryAfterMs?: number }]
): LeatError {
  const message = (catalogue[reason].message as (details: unknown) => string)(details);
  const metadata: Record<string, string> = {};
  for (const [name, value] of Object.entries((details ?? {}) as Record<string, unknown>)) {
    if (value !== undefined) metadata[name] = String(value);
  }
  return new LeatError(reason, message, metadata, options);
}

/**
 * The codes with which the host itself fails a record, each with its meaning. Modules
 * add codes of their own.
 */
export const recordFailureCodes = {
  trap: "the module trapped while it worked on the record",
  timeout: "the record ran longer than the stage allows, and the worker was stopped",
  out_of_memory: "the module wanted more memory than the stage allows",
  stack_overflow: "the module recursed too deeply",
  malformed_output: "the module returned something that is no valid result",
  output_too_large: "the module returned more than the server allows",
  init_failed: "the module could not be started or refused its configuration",
  worker_lost: "the worker died while it ran the record",
  breaker_open: "the module broke too often of late and is not called for a while",
} as const;

/** A code with which the host fails a record. */
export type RecordFailureCode = keyof typeof recordFailureCodes;

/** Whether a failure's code is one of the host's: the module broke, it did not refuse. */
export function isHostCode(code: string): code is RecordFailureCode {
  return Object.hasOwn(recordFailureCodes, code);
}
