;; Draws random numbers for ever.
(module
  (import "wasi_snapshot_preview1" "random_get" (func $random (param i32 i32) (result i32)))
  (memory (export "memory") 2 16)
  (func (export "leat_alloc") (param $size i32) (result i32) (i32.const 1024))
  (func (export "leat_transform") (param $start i32) (param $length i32) (result i64)
    (if (local.get $length)
      (then
        (loop $for_ever (drop (call $random (i32.const 0) (i32.const 65536))) (br $for_ever))))
    (i64.const 0)))
