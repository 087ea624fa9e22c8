;; Has a transform of another type.
(module
  (memory (export "memory") 1)
  (func (export "leat_alloc") (param i32) (result i32) (i32.const 1024))
  (func (export "leat_transform") (param f32 f32) (result f64) (f64.const 0))
)
