;; Guest ABI 1. Returns every batch as it came, but loops for ever on a record whose value begins with
;; the byte 1 (a plain loop), 2 (a loop of 30 MB memory.fill), 3 (a loop of memory.copy over all the memory that the
;; limits admit) or 4 (a loop of table.fill over the largest table that they do), none of which is in the fixtures.
(module
  (import "leat" "begin_record" (func $begin_record (param i32)))
  ;; 16 MiB for the batch, 30 MB to fill.
  (memory (export "memory") 768)
  (table $table 1 funcref)
  (global $at (mut i32) (i32.const 0))

  (func (export "leat_alloc") (param $size i32) (result i32)
    (if (i32.gt_u (local.get $size) (i32.const 16000000)) (then (unreachable)))
    (i32.const 64))

  ;; Reads the varint at $at and moves past it.
  (func $varint (result i32)
    (local $byte i32)
    (local $shift i32)
    (local $value i32)
    (loop $next
      (local.set $byte (i32.load8_u (global.get $at)))
      (global.set $at (i32.add (global.get $at) (i32.const 1)))
      (local.set $value
        (i32.or
          (local.get $value)
          (i32.shl (i32.and (local.get $byte) (i32.const 127)) (local.get $shift))))
      (local.set $shift (i32.add (local.get $shift) (i32.const 7)))
      (br_if $next (i32.ge_u (local.get $byte) (i32.const 128))))
    (local.get $value))

  ;; Moves past a field of this wire type.
  (func $skip (param $wire_type i32)
    (local $length i32)
    (if (i32.eqz (local.get $wire_type)) (then (drop (call $varint)) (return)))
    (if (i32.eq (local.get $wire_type) (i32.const 1))
      (then (global.set $at (i32.add (global.get $at) (i32.const 8))) (return)))
    (if (i32.eq (local.get $wire_type) (i32.const 5))
      (then (global.set $at (i32.add (global.get $at) (i32.const 4))) (return)))
    (local.set $length (call $varint))
    (global.set $at (i32.add (global.get $at) (local.get $length))))

  ;; Looks at a record's value: returns, or does not.
  (func $obey (param $first i32)
    (if (i32.eq (local.get $first) (i32.const 1)) (then (loop $for_ever (br $for_ever))))
    (if (i32.eq (local.get $first) (i32.const 2))
      (then
        (loop $for_ever
          (memory.fill (i32.const 16777216) (i32.const 1) (i32.const 30000000))
          (br $for_ever))))
    (if (i32.eq (local.get $first) (i32.const 3))
      (then
        (drop (memory.grow (i32.const 256)))
        (loop $for_ever
          (memory.copy
            (i32.const 1)
            (i32.const 0)
            (i32.sub (i32.mul (memory.size) (i32.const 65536)) (i32.const 1)))
          (br $for_ever))))
    (if (i32.eq (local.get $first) (i32.const 4))
      (then
        (drop (table.grow $table (ref.null func) (i32.const 99999)))
        (loop $for_ever
          (table.fill $table (i32.const 0) (ref.null func) (table.size $table))
          (br $for_ever)))))

  (func (export "leat_transform") (param $start i32) (param $length i32) (result i64)
    (local $end i32)
    (local $record_end i32)
    (local $index i32)
    (local $tag i32)
    (local $field_length i32)
    (local $head i32)
    (local $rest i32)
    (global.set $at (local.get $start))
    (local.set $end (i32.add (local.get $start) (local.get $length)))
    (block $done
      (loop $records
        (br_if $done (i32.ge_u (global.get $at) (local.get $end)))
        (local.set $tag (call $varint))
        (if (i32.ne (local.get $tag) (i32.const 10))
          (then (call $skip (i32.and (local.get $tag) (i32.const 7))) (br $records)))
        (call $begin_record (local.get $index))
        (local.set $index (i32.add (local.get $index) (i32.const 1)))
        (local.set $field_length (call $varint))
        (local.set $record_end (i32.add (global.get $at) (local.get $field_length)))
        (block $record_done
          (loop $fields
            (br_if $record_done (i32.ge_u (global.get $at) (local.get $record_end)))
            (local.set $tag (call $varint))
            (if (i32.ne (local.get $tag) (i32.const 18))
              (then (call $skip (i32.and (local.get $tag) (i32.const 7))) (br $fields)))
            (local.set $field_length (call $varint))
            (if (local.get $field_length)
              (then (call $obey (i32.load8_u (global.get $at)))))
            (global.set $at (i32.add (global.get $at) (local.get $field_length)))
            (br $fields)))
        (br $records)))
    ;; The result's tag and length, a varint padded to 5 bytes, go right before the input.
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
