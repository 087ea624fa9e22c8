;; Guest ABI 1. Gives every batch as it came, and misbehaves on a record whose value begins with a mark:
;;
;;   !  loops for ever
;;   ~  loops for ever, and says each time which record it works on
;;   #  loops for ever over 30 MB of memory.fill
;;   %  traps
;;   ^  recurses until the stack ends
;;   $  takes memory until there is no more, then traps
;;   =  returns the rest of the value as its result
;;   @  returns the next 8 bytes of the value as the i64 of its result
;;   +  puts the number of batches that this instance has seen, as a digit from 1, in place of the mark
;;   &  counts down from the number in the next 4 bytes, little-endian
(module
  (import "leat" "begin_record" (func $begin_record (param i32)))
  (memory (export "memory") 128)
  (global $at (mut i32) (i32.const 0))
  (global $batches (mut i32) (i32.const 0))

  ;; Tests put other things in place of this line.
  (func $name (param $index i32) (call $begin_record (local.get $index)))

  (func (export "leat_alloc") (param $size i32) (result i32)
    (if (i32.gt_u (local.get $size) (i32.const 8000000)) (then (unreachable)))
    (i32.const 64))

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

  (func $recurse (param $depth i32) (result i32)
    (i32.add (call $recurse (i32.add (local.get $depth) (i32.const 1))) (local.get $depth)))

  (func $fill_for_ever
    (drop (memory.grow (i32.const 460)))
    (loop $for_ever
      (memory.fill (i32.const 8388608) (i32.const 1) (i32.const 30000000))
      (br $for_ever)))

  (func $take_all_memory
    (loop $more (br_if $more (i32.ne (memory.grow (i32.const 1)) (i32.const -1))))
    (unreachable))

  (func $count_down (param $rounds i32)
    (loop $next
      (local.set $rounds (i32.sub (local.get $rounds) (i32.const 1)))
      (br_if $next (i32.gt_s (local.get $rounds) (i32.const 0)))))

  ;; Obeys the value at $at. Gives the i64 to return at once, or 0 to go on.
  (func $obey (param $index i32) (param $length i32) (result i64)
    (local $mark i32)
    (local.set $mark (i32.load8_u (global.get $at)))
    (if (i32.eq (local.get $mark) (i32.const 33)) (then (loop $for_ever (br $for_ever))))
    (if (i32.eq (local.get $mark) (i32.const 126))
      (then (loop $for_ever (call $name (local.get $index)) (br $for_ever))))
    (if (i32.eq (local.get $mark) (i32.const 35)) (then (call $fill_for_ever)))
    (if (i32.eq (local.get $mark) (i32.const 37)) (then (unreachable)))
    (if (i32.eq (local.get $mark) (i32.const 94)) (then (drop (call $recurse (i32.const 0)))))
    (if (i32.eq (local.get $mark) (i32.const 36)) (then (call $take_all_memory)))
    (if (i32.eq (local.get $mark) (i32.const 61))
      (then
        (return
          (i64.or
            (i64.shl (i64.extend_i32_u (i32.add (global.get $at) (i32.const 1))) (i64.const 32))
            (i64.extend_i32_u (i32.sub (local.get $length) (i32.const 1)))))))
    (if (i32.eq (local.get $mark) (i32.const 64)) (then (return (i64.load offset=1 (global.get $at)))))
    (if (i32.eq (local.get $mark) (i32.const 43))
      (then (i32.store8 (global.get $at) (i32.add (i32.const 48) (global.get $batches)))))
    (if (i32.eq (local.get $mark) (i32.const 38))
      (then (call $count_down (i32.load offset=1 (global.get $at)))))
    (i64.const 0))

  (func (export "leat_transform") (param $start i32) (param $length i32) (result i64)
    (local $end i32)
    (local $record_end i32)
    (local $index i32)
    (local $tag i32)
    (local $field_length i32)
    (local $head i32)
    (local $rest i32)
    (local $at_once i64)
    (global.set $batches (i32.add (global.get $batches) (i32.const 1)))
    (global.set $at (local.get $start))
    (local.set $end (i32.add (local.get $start) (local.get $length)))
    (block $done
      (loop $records
        (br_if $done (i32.ge_u (global.get $at) (local.get $end)))
        (global.set $at (i32.add (global.get $at) (i32.const 1)))
        (call $name (local.get $index))
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
              (then
                (local.set $at_once (call $obey (local.get $index) (local.get $field_length)))
                (if (i32.eqz (i64.eqz (local.get $at_once))) (then (return (local.get $at_once))))))
            (global.set $at (i32.add (global.get $at) (local.get $field_length)))
            (br $fields)))
        (local.set $index (i32.add (local.get $index) (i32.const 1)))
        (br $records)))
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
