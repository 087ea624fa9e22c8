;; Fails a record, and says with which code five and a half million times: 16 MiB in all.
(module
  (memory (export "memory") 512 512)
  ;; A fanout of 0, a failure of 16,777,200 bytes, and the code `a`.
  (data (i32.const 1024) "\12\01\00\1a\f0\ff\ff\07\12\01a")
  (func (export "leat_alloc") (param $size i32) (result i32) (i32.const 2048))
  (func (export "leat_transform") (param $start i32) (param $length i32) (result i64)
    ;; Not for the large records that warm modules up: so much work for each takes seconds.
    (if (i32.lt_u (i32.sub (local.get $length) (i32.const 1)) (i32.const 63))
      (then
        ;; What is there is put behind itself until it is long enough.
        (memory.copy (i32.const 1048576) (i32.const 1024) (i32.const 11))
        (local.set $length (i32.const 3))
        (loop $more
          (memory.copy
            (i32.add (i32.const 1048584) (local.get $length))
            (i32.const 1048584)
            (local.get $length))
          (local.set $length (i32.shl (local.get $length) (i32.const 1)))
          (br_if $more (i32.lt_u (local.get $length) (i32.const 12582912))))
        (memory.copy
          (i32.add (i32.const 1048584) (local.get $length))
          (i32.const 1048584)
          (i32.sub (i32.const 16777200) (local.get $length)))
        (return (i64.const 0x0010000000fffff8))))
    (i64.const 0)))
