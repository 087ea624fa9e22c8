;; Loops for ever over its configuration.
(module
  (memory (export "memory") 1)
  (func (export "leat_alloc") (param i32) (result i32) (i32.const 1024))
  (func (export "leat_transform") (param i32 i32) (result i64) (i64.const 0))
  (func (export "leat_init") (param i32 i32) (result i64) (loop $for_ever (br $for_ever)) (i64.const 0))
)
