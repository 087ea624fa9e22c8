;; Takes as many MiB of memory as the first digit of the record says, writes to all of it, and answers well.
(module
  (memory (export "memory") 2)
  ;; One record without fields.
  (data (i32.const 16) "\0a\02\0a\00")
  (func (export "leat_alloc") (param $size i32) (result i32) (i32.const 1024))
  (func (export "leat_transform") (param $start i32) (param $length i32) (result i64)
    (local $bytes i32)
    (local $from i32)
    (if (i32.eqz (local.get $length)) (then (return (i64.const 0))))
    ;; A batch of one record with a short value and nothing else.
    (local.set $bytes (i32.mul (i32.sub (i32.load8_u offset=4 (local.get $start)) (i32.const 48)) (i32.const 1048576)))
    (local.set $from (memory.grow (i32.shr_u (local.get $bytes) (i32.const 16))))
    (if (i32.lt_s (local.get $from) (i32.const 0)) (then (unreachable)))
    (memory.fill (i32.shl (local.get $from) (i32.const 16)) (i32.const 1) (local.get $bytes))
    (i64.const 0x1000000004)))
