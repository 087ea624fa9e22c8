;; Says that all of its memory, 20 MiB, is its result.
(module
  (memory (export "memory") 320 320)
  (func (export "leat_alloc") (param $size i32) (result i32) (i32.const 1024))
  (func (export "leat_transform") (param $start i32) (param $length i32) (result i64)
    (if (local.get $length)
      (then
        (return (i64.const 0x01400000))))
    (i64.const 0)))
