;; Fails a record with a message of almost 16 MiB.
(module
  (memory (export "memory") 512 512)
  ;; A fanout of 0, a failure of 16,777,200 bytes, and in it a message of 16,777,195.
  (data (i32.const 1048576) "\12\01\00\1a\f0\ff\ff\07\1a\eb\ff\ff\07")
  (func (export "leat_alloc") (param $size i32) (result i32) (i32.const 2048))
  (func (export "leat_transform") (param $start i32) (param $length i32) (result i64)
    ;; Not for the large records that warm modules up: so much work for each takes seconds.
    (if (i32.lt_u (i32.sub (local.get $length) (i32.const 1)) (i32.const 63))
      (then
        (memory.fill (i32.const 1048589) (i32.const 120) (i32.const 16777195))
        (return (i64.const 0x0010000000fffff8))))
    (i64.const 0)))
