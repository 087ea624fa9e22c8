;; Writes to a file that it was never given, and answers well though it is refused.
(module
  (import "wasi_snapshot_preview1" "fd_write" (func $write (param i32 i32 i32 i32) (result i32)))
  (memory (export "memory") 2 16)
  ;; One record without fields.
  (data (i32.const 16) "\0a\02\0a\00")
  (func (export "leat_alloc") (param $size i32) (result i32) (i32.const 1024))
  (func (export "leat_transform") (param $start i32) (param $length i32) (result i64)
    (if (local.get $length)
      (then
        (if (i32.eqz (call $write (i32.const 3) (i32.const 0) (i32.const 1) (i32.const 32))) (then (unreachable)))
        (return (i64.const 0x1000000004))))
    (i64.const 0)))
