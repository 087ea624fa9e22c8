// What the host offers: the imports of guest ABI 1 (docs/guest-abi.md).

/** Says which record of the batch, counted from 0, is worked on from now on. */
@external("leat", "begin_record")
export declare function beginRecord(index: i32): void;

/** Writes a line of UTF-8 to the host's log. Levels: 0 debug, 1 info, 2 warn, 3 error. */
@external("leat", "log")
export declare function hostLog(level: i32, ptr: usize, len: usize): void;

/** The time in milliseconds since the Unix epoch. */
@external("leat", "now_ms")
export declare function hostNowMs(): i64;

/** Adds to a counter that the host keeps for this stage. The name is UTF-8. */
@external("leat", "counter_add")
export declare function hostCounterAdd(namePtr: usize, nameLen: usize, delta: f64): void;
