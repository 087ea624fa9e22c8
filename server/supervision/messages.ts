/**
 * What a supervisor and its server process tell each other.
 *
 * @module
 */

/** What an earlier process has served with. */
export interface ServedWith {
  /** The text of its configuration file when that could last be used; undefined where it had none. */
  readonly configText?: string | undefined;
}

/** What the server process is started with. Until it is told, it stands by. */
export interface ServerStart {
  /** A folder for files that need not outlive the supervisor. */
  readonly folder: string;
  /** The book of modules in quarantine, while its own place cannot be written; undefined where it can. */
  readonly quarantine: string | undefined;
  /** What an earlier process has served with; undefined where none has served yet. */
  readonly served: ServedWith | undefined;
  /** The port that an earlier process took for gRPC, where any free one will do. */
  readonly grpcPort: number | undefined;
  /** The same for HTTP. */
  readonly httpPort: number | undefined;
}

/** What the supervisor tells the server process. */
export type ToServer =
  | { readonly type: "serve"; readonly start: ServerStart }
  | { readonly type: "drain" }
  /** Reads the configuration again. */
  | { readonly type: "reload" }
  | { readonly type: "close" };

/** The server process has read its configuration, and begins. */
export interface Starting {
  readonly type: "starting";
  /** The crash ledger. */
  readonly ledger: string;
  /** The own place of the book of modules in quarantine. */
  readonly quarantine: string;
  /** The limits of that name. */
  readonly maxRestarts: number;
  readonly restartWindowMs: number;
  /** Whether another process shall stand by. */
  readonly standby: boolean;
}

/** The server process takes calls. */
export interface Serving extends ServedWith {
  readonly type: "serving";
  readonly grpcPort: number;
  readonly httpPort: number | undefined;
}

/** The server process goes on with another configuration. */
export interface Configured extends ServedWith {
  readonly type: "configured";
}

/** The server process has nothing left to do, and exits. */
export interface Ending {
  readonly type: "ending";
  readonly code: number;
}

/** What the server process tells the supervisor. */
export type FromServer = Starting | Serving | Configured | Ending;
