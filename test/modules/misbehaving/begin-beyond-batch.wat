;; Works on records that are not there, and traps.
(module
  (import "leat" "begin_record" (func $begin (param i32)))
  (memory (export "memory") 2 16)
  (func (export "leat_alloc") (param $size i32) (result i32) (i32.const 1024))
  (func (export "leat_transform") (param $start i32) (param $length i32) (result i64)
    (if (local.get $length)
      (then
        (call $begin (i32.const 1000000))
        (unreachable)))
    (i64.const 0)))
