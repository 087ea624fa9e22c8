;; Calls through an empty entry of its table.
(module
  (memory (export "memory") 2 16)
  (type $void (func))
  (table 1 1 funcref)
  (func (export "leat_alloc") (param $size i32) (result i32) (i32.const 1024))
  (func (export "leat_transform") (param $start i32) (param $length i32) (result i64)
    (if (local.get $length)
      (then
        (call_indirect (type $void) (i32.const 0))))
    (i64.const 0)))
