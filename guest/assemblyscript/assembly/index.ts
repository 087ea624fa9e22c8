// @leat/assemblyscript: what an author of a module imports. See the README for how the pieces fit.

export { Bytes } from "./bytes";
export { Config } from "./config";
export { Counter } from "./counter";
export { JSON_MAX_DEPTH, Json, JsonKind } from "./json";
export { log, nowMs } from "./log";
export { Out } from "./out";
export { Header, Record } from "./record";
export { RecordBuilder } from "./builder";
export { Writer } from "./writer";
