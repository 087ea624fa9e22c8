;; Has the host write its input beyond the end of the memory.
(module
  (memory (export "memory") 2 16)
  (func (export "leat_alloc") (param $size i32) (result i32)
    (if (local.get $size) (then (return (i32.const -8))))
    (i32.const 1024))
  (func (export "leat_transform") (param i32 i32) (result i64) (i64.const 0)))
