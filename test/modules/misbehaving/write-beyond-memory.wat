;; Writes beyond the end of its memory.
(module
  (memory (export "memory") 2 16)
  (func (export "leat_alloc") (param $size i32) (result i32) (i32.const 1024))
  (func (export "leat_transform") (param $start i32) (param $length i32) (result i64)
    (if (local.get $length)
      (then
        (i64.store offset=4294967288 (i32.const 0) (i64.const -1))))
    (i64.const 0)))
