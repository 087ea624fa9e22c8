;; Recurses with big frames until the stack ends.
(module
  (memory (export "memory") 2 16)
  (func $deeper (param f64) (result f64)
    (local f64 f64 f64 f64 f64 f64 f64 f64)
    (f64.add (call $deeper (f64.add (local.get 0) (f64.const 1))) (local.get 0)))
  (func (export "leat_alloc") (param $size i32) (result i32) (i32.const 1024))
  (func (export "leat_transform") (param $start i32) (param $length i32) (result i64)
    (if (local.get $length)
      (then
        (drop (call $deeper (f64.const 0)))))
    (i64.const 0)))
