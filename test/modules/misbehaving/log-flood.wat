;; Logs ten thousand lines for each batch, and answers well.
(module
  (import "leat" "log" (func $log (param i32 i32 i32)))
  (memory (export "memory") 2 16)
  ;; One record without fields.
  (data (i32.const 16) "\0a\02\0a\00")
  (func (export "leat_alloc") (param $size i32) (result i32) (i32.const 1024))
  (func (export "leat_transform") (param $start i32) (param $length i32) (result i64)
    ;; Not for the large records that warm modules up: so much work for each takes seconds.
    (if (i32.lt_u (i32.sub (local.get $length) (i32.const 1)) (i32.const 63))
      (then
        (loop $more
          (call $log (i32.const 2) (i32.const 0) (i32.const 64))
          (local.set $start (i32.add (local.get $start) (i32.const 1)))
          (br_if $more (i32.lt_u (local.get $start) (i32.const 10000))))
        (return (i64.const 0x1000000004))))
    (i64.const 0)))
