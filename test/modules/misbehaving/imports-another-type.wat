;; Imports a function of the host with another type.
(module
  (import "leat" "log" (func (param i64)))
  (memory (export "memory") 1)
  (func (export "leat_alloc") (param i32) (result i32) (i32.const 1024))
  (func (export "leat_transform") (param i32 i32) (result i64) (i64.const 0))
)
