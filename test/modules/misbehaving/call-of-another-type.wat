;; Calls a function through a type that it does not have.
(module
  (memory (export "memory") 2 16)
  (type $other (func (param i32)))
  (table 1 1 funcref)
  (func $plain)
  (elem (i32.const 0) $plain)
  (func (export "leat_alloc") (param $size i32) (result i32) (i32.const 1024))
  (func (export "leat_transform") (param $start i32) (param $length i32) (result i64)
    (if (local.get $length)
      (then
        (call_indirect (type $other) (i32.const 0) (i32.const 0))))
    (i64.const 0)))
