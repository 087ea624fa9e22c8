;; Guest ABI 1. Each record's value is a program of which this module runs the first character:
;;
;;   0-9  gives so many records; the nth (from 0) goes on with what follows the next n characters
;;   x    fails the record with the code `refused`
;;   y    fails it with the code `later`, which may be tried again
;;   ?    fails it with the code `later` in the first two batches of this instance, then as any other
;;   t    traps
;;   l    loops for ever
;;   any other gives one record, which goes on with what follows
;;
;; A record without a value, or with an empty one, is given as it came. So a chain of this module runs
;; programs character by character, and what comes of it is easy to foretell.
(module
  (import "leat" "begin_record" (func $begin_record (param i32)))
  (memory (export "memory") 256)
  ;; code and message of the two failures, as fields 2, 3 and 6 of a RecordFailure
  (data (i32.const 16) "\12\07refused\1a\08asked to")
  (data (i32.const 48) "\12\05later\1a\08not yet!\30\01")
  ;; 64 KiB: input; 5 MiB: output; 14 MiB: fanout; 15 MiB: failures
  (global $at (mut i32) (i32.const 0))
  (global $out (mut i32) (i32.const 0))
  (global $fan (mut i32) (i32.const 0))
  (global $fail (mut i32) (i32.const 0))
  (global $value (mut i32) (i32.const 0))
  (global $value_length (mut i32) (i32.const 0))
  (global $batches (mut i32) (i32.const 0))

  (func (export "leat_alloc") (param $size i32) (result i32)
    (if (i32.gt_u (local.get $size) (i32.const 5000000)) (then (unreachable)))
    (i32.const 65536))

  ;; Reads the varint at $at and moves past it.
  (func $varint (result i32)
    (local $byte i32)
    (local $shift i32)
    (local $number i32)
    (loop $next
      (local.set $byte (i32.load8_u (global.get $at)))
      (global.set $at (i32.add (global.get $at) (i32.const 1)))
      (local.set $number
        (i32.or
          (local.get $number)
          (i32.shl (i32.and (local.get $byte) (i32.const 127)) (local.get $shift))))
      (local.set $shift (i32.add (local.get $shift) (i32.const 7)))
      (br_if $next (i32.ge_u (local.get $byte) (i32.const 128))))
    (local.get $number))

  ;; Writes a varint of five bytes.
  (func $padded (param $where i32) (param $number i32)
    (local $index i32)
    (loop $next
      (i32.store8
        (i32.add (local.get $where) (local.get $index))
        (i32.or
          (i32.and (local.get $number) (i32.const 127))
          (i32.shl (i32.lt_u (local.get $index) (i32.const 4)) (i32.const 7))))
      (local.set $number (i32.shr_u (local.get $number) (i32.const 7)))
      (local.set $index (i32.add (local.get $index) (i32.const 1)))
      (br_if $next (i32.lt_u (local.get $index) (i32.const 5)))))

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

  ;; Finds the value among the fields in [$start, $end).
  (func $find_value (param $start i32) (param $end i32)
    (local $tag i32)
    (global.set $at (local.get $start))
    (global.set $value_length (i32.const 0))
    (block $done
      (loop $fields
        (br_if $done (i32.ge_u (global.get $at) (local.get $end)))
        (local.set $tag (call $varint))
        (if (i32.ne (local.get $tag) (i32.const 18))
          (then (call $skip (i32.and (local.get $tag) (i32.const 7))) (br $fields)))
        (global.set $value_length (call $varint))
        (global.set $value (global.get $at))
        (global.set $at (i32.add (global.get $at) (global.get $value_length)))
        (br $fields))))

  (func $put (param $from i32) (param $length i32)
    ;; Output must not run into the fanout.
    (if (i32.gt_u (i32.add (global.get $out) (local.get $length)) (i32.const 14600000)) (then (unreachable)))
    (memory.copy (global.get $out) (local.get $from) (local.get $length))
    (global.set $out (i32.add (global.get $out) (local.get $length))))

  ;; Gives the record whose fields are in [$start, $end) without the first $cut bytes of its value.
  (func $give (param $start i32) (param $end i32) (param $cut i32)
    (local $head i32)
    (local $field i32)
    (local $tag i32)
    (local $length i32)
    (local.set $head (global.get $out))
    (i32.store8 (local.get $head) (i32.const 10))
    (global.set $out (i32.add (local.get $head) (i32.const 6)))
    (global.set $at (local.get $start))
    (block $done
      (loop $fields
        (br_if $done (i32.ge_u (global.get $at) (local.get $end)))
        (local.set $field (global.get $at))
        (local.set $tag (call $varint))
        (if (i32.ne (local.get $tag) (i32.const 18))
          (then
            (call $skip (i32.and (local.get $tag) (i32.const 7)))
            (call $put (local.get $field) (i32.sub (global.get $at) (local.get $field)))
            (br $fields)))
        (local.set $length (call $varint))
        (local.set $field (global.get $at))
        (global.set $at (i32.add (global.get $at) (local.get $length)))
        (if (i32.gt_u (local.get $cut) (local.get $length)) (then (local.set $cut (local.get $length))))
        (i32.store8 (global.get $out) (i32.const 18))
        (call $padded
          (i32.add (global.get $out) (i32.const 1))
          (i32.sub (local.get $length) (local.get $cut)))
        (global.set $out (i32.add (global.get $out) (i32.const 6)))
        (call $put
          (i32.add (local.get $field) (local.get $cut))
          (i32.sub (local.get $length) (local.get $cut)))
        (br $fields)))
    (call $padded
      (i32.add (local.get $head) (i32.const 1))
      (i32.sub (global.get $out) (i32.add (local.get $head) (i32.const 6)))))

  (func $refuse (param $index i32) (param $text i32) (param $length i32)
    (i32.store8 (global.get $fail) (i32.const 26))
    (call $padded (i32.add (global.get $fail) (i32.const 1)) (i32.add (local.get $length) (i32.const 6)))
    (i32.store8 offset=6 (global.get $fail) (i32.const 8))
    (call $padded (i32.add (global.get $fail) (i32.const 7)) (local.get $index))
    (memory.copy (i32.add (global.get $fail) (i32.const 12)) (local.get $text) (local.get $length))
    (global.set $fail (i32.add (global.get $fail) (i32.add (local.get $length) (i32.const 12)))))

  (func $fanout (param $count i32)
    (i32.store8 (global.get $fan) (local.get $count))
    (global.set $fan (i32.add (global.get $fan) (i32.const 1))))

  (func $record (param $index i32) (param $start i32) (param $end i32)
    (local $act i32)
    (local $copy i32)
    (call $find_value (local.get $start) (local.get $end))
    (if (i32.eqz (global.get $value_length))
      (then
        (call $give (local.get $start) (local.get $end) (i32.const 0))
        (call $fanout (i32.const 1))
        (return)))
    (local.set $act (i32.load8_u (global.get $value)))
    (if (i32.eq (local.get $act) (i32.const 116)) (then (unreachable)))
    (if (i32.eq (local.get $act) (i32.const 108)) (then (loop $for_ever (br $for_ever))))
    (if (i32.eq (local.get $act) (i32.const 120))
      (then
        (call $refuse (local.get $index) (i32.const 16) (i32.const 19))
        (call $fanout (i32.const 0))
        (return)))
    (if
      (i32.or
        (i32.eq (local.get $act) (i32.const 121))
        (i32.and (i32.eq (local.get $act) (i32.const 63)) (i32.le_u (global.get $batches) (i32.const 2))))
      (then
        (call $refuse (local.get $index) (i32.const 48) (i32.const 19))
        (call $fanout (i32.const 0))
        (return)))
    (local.set $act (i32.sub (local.get $act) (i32.const 48)))
    (if (i32.gt_u (local.get $act) (i32.const 9)) (then (local.set $act (i32.const 1))))
    (call $fanout (local.get $act))
    (block $done
      (loop $copies
        (br_if $done (i32.ge_u (local.get $copy) (local.get $act)))
        (local.set $copy (i32.add (local.get $copy) (i32.const 1)))
        (call $give (local.get $start) (local.get $end) (local.get $copy))
        (br $copies))))

  (func (export "leat_transform") (param $start i32) (param $length i32) (result i64)
    (local $end i32)
    (local $index i32)
    (local $from i32)
    (local $size i32)
    (local.set $end (i32.add (local.get $start) (local.get $length)))
    ;; Warm-ups run the module without records.
    (if (local.get $length) (then (global.set $batches (i32.add (global.get $batches) (i32.const 1)))))
    ;; The batch's head, of six bytes, comes before the records.
    (global.set $out (i32.const 5242886))
    (global.set $fan (i32.const 14680064))
    (global.set $fail (i32.const 15728640))
    (block $done
      (loop $records
        (br_if $done (i32.ge_u (local.get $start) (local.get $end)))
        (call $begin_record (local.get $index))
        ;; The host gives nothing but records, each with a tag of one byte.
        (global.set $at (i32.add (local.get $start) (i32.const 1)))
        (local.set $size (call $varint))
        (local.set $from (global.get $at))
        (local.set $start (i32.add (local.get $from) (local.get $size)))
        (call $record (local.get $index) (local.get $from) (local.get $start))
        (local.set $index (i32.add (local.get $index) (i32.const 1)))
        (br $records)))
    (i32.store8 (i32.const 5242880) (i32.const 10))
    (call $padded (i32.const 5242881) (i32.sub (global.get $out) (i32.const 5242886)))
    (if (local.get $index)
      (then
        (i32.store8 (global.get $out) (i32.const 18))
        (call $padded (i32.add (global.get $out) (i32.const 1)) (local.get $index))
        (global.set $out (i32.add (global.get $out) (i32.const 6)))
        (memory.copy (global.get $out) (i32.const 14680064) (local.get $index))
        (global.set $out (i32.add (global.get $out) (local.get $index)))
        (local.set $size (i32.sub (global.get $fail) (i32.const 15728640)))
        (memory.copy (global.get $out) (i32.const 15728640) (local.get $size))
        (global.set $out (i32.add (global.get $out) (local.get $size)))))
    (i64.or
      (i64.shl (i64.const 5242880) (i64.const 32))
      (i64.extend_i32_u (i32.sub (global.get $out) (i32.const 5242880))))))
