;; Traps when it is asked for room.
(module
  (memory (export "memory") 2 16)
  (func (export "leat_alloc") (param $size i32) (result i32)
    (if (local.get $size) (then (unreachable)))
    (i32.const 1024))
  (func (export "leat_transform") (param i32 i32) (result i64) (i64.const 0)))
