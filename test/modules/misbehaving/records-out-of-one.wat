;; Gives half a million empty records for one.
(module
  (memory (export "memory") 20 20)
  (func (export "leat_alloc") (param $size i32) (result i32) (i32.const 1024))
  (func (export "leat_transform") (param $start i32) (param $length i32) (result i64)
    ;; Not for the large records that warm modules up: so much work for each takes seconds.
    (if (i32.lt_u (i32.sub (local.get $length) (i32.const 1)) (i32.const 63))
      (then
        (local.set $length (i32.const 0))
        (loop $more
          (i32.store16 (i32.add (i32.const 65546) (local.get $length)) (i32.const 10))
          (local.set $length (i32.add (local.get $length) (i32.const 2)))
          (br_if $more (i32.lt_u (local.get $length) (i32.const 1000000))))
        (i32.store8 (i32.const 65540) (i32.const 10))
        (i32.store (i32.const 65541) (i32.const 0x80bd84c0))
        (i32.store8 (i32.const 65545) (i32.const 0))
        (return (i64.const 0x00010004000f4246))))
    (i64.const 0)))
