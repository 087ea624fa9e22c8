;; Adds to a counter what is no number, and answers well.
(module
  (import "leat" "counter_add" (func $add (param i32 i32 f64)))
  (memory (export "memory") 2 16)
  ;; One record without fields.
  (data (i32.const 16) "\0a\02\0a\00")
  (func (export "leat_alloc") (param $size i32) (result i32) (i32.const 1024))
  (func (export "leat_transform") (param $start i32) (param $length i32) (result i64)
    (if (local.get $length)
      (then
        (call $add (i32.const 16) (i32.const 4) (f64.const nan))
        (return (i64.const 0x1000000004))))
    (i64.const 0)))
