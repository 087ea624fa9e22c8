;; Has a table of ten million entries, which V8 would allocate at once.
(module
  (memory (export "memory") 1)
  (table 10000000 funcref)
  (func (export "leat_alloc") (param i32) (result i32) (i32.const 1024))
  (func (export "leat_transform") (param i32 i32) (result i64) (i64.const 0))
)
