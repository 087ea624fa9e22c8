// @leat/assemblyscript: what an author of a module imports. See the README for how the pieces fit.

export { markMemory, releaseMemory } from "./arena";
export { Bytes } from "./bytes";
export { Config } from "./config";
export { Counter } from "./counter";
export { JSON_MAX_DEPTH, JSON_MAX_VALUES, Json, JsonItems, JsonKind } from "./json";
export { log, nowMs } from "./log";
export { Out } from "./out";
export { Headers, Record } from "./record";
export { RecordBuilder } from "./builder";
export { sha256 } from "./sha256";
export { Writer } from "./writer";
