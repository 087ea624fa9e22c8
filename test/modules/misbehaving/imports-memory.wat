;; Wants the memory of another.
(module
  (import "env" "memory" (memory 1))
  (export "memory" (memory 0))
  (func (export "leat_alloc") (param i32) (result i32) (i32.const 1024))
  (func (export "leat_transform") (param i32 i32) (result i64) (i64.const 0))
)
