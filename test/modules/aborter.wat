;; Guest ABI 1. Gives every batch as it came, but for one in which the byte `!` occurs: on that it makes V8 abort, and
;; with it the whole process, where a limit of 10,000,000 table entries admits it. V8 allocates tables on the worker's
;; JavaScript heap, and ends the process when they do not fit.
(module
  (memory (export "memory") 128)
  (table $first 0 10000000 funcref)
  (table $second 0 10000000 funcref)
  (table $third 0 10000000 funcref)
  (table $fourth 0 10000000 funcref)

  (func (export "leat_alloc") (param $size i32) (result i32) (i32.const 64))

  (func $abort
    (drop (table.grow $first (ref.null func) (i32.const 10000000)))
    (drop (table.grow $second (ref.null func) (i32.const 10000000)))
    (drop (table.grow $third (ref.null func) (i32.const 10000000)))
    (drop (table.grow $fourth (ref.null func) (i32.const 10000000))))

  (func (export "leat_transform") (param $start i32) (param $length i32) (result i64)
    (local $at i32)
    (local $head i32)
    (local $rest i32)
    (local $index i32)
    (local.set $at (local.get $start))
    (block $read
      (loop $bytes
        (br_if $read (i32.ge_u (local.get $at) (i32.add (local.get $start) (local.get $length))))
        (if (i32.eq (i32.load8_u (local.get $at)) (i32.const 33)) (then (call $abort)))
        (local.set $at (i32.add (local.get $at) (i32.const 1)))
        (br $bytes)))
    ;; The result's tag and length, a varint of 5 bytes, go right before the input.
    (local.set $head (i32.sub (local.get $start) (i32.const 6)))
    (i32.store8 (local.get $head) (i32.const 10))
    (local.set $rest (local.get $length))
    (local.set $index (i32.const 1))
    (loop $length_bytes
      (i32.store8
        (i32.add (local.get $head) (local.get $index))
        (i32.or
          (i32.and (local.get $rest) (i32.const 127))
          (i32.shl (i32.lt_u (local.get $index) (i32.const 5)) (i32.const 7))))
      (local.set $rest (i32.shr_u (local.get $rest) (i32.const 7)))
      (local.set $index (i32.add (local.get $index) (i32.const 1)))
      (br_if $length_bytes (i32.le_u (local.get $index) (i32.const 5))))
    (i64.or
      (i64.shl (i64.extend_i32_u (local.get $head)) (i64.const 32))
      (i64.extend_i32_u (i32.add (local.get $length) (i32.const 6))))))
