;; A guest of ABI 1, written by hand from docs/guest-abi.md: turns the ASCII letters of each record's value to upper case.
;;
;; Lengths do not change, so it works in place: the output is the input with the batch's tag and length in front of it.
(module
  (import "leat" "begin_record" (func $begin_record (param $index i32)))

  ;; 0..15 keeps room for the result's head, 16.. is the input.
  (memory (export "memory") 1)

  ;; Where reading goes on.
  (global $at (mut i32) (i32.const 0))

  (func (export "leat_alloc") (param $size i32) (result i32)
    (local $missing i32)
    ;; Pages that hold 16 + size, counted in 64 bits since size may be close to 2^32.
    (local.set $missing
      (i32.sub
        (i32.wrap_i64
          (i64.shr_u
            (i64.add (i64.extend_i32_u (local.get $size)) (i64.const 65551))
            (i64.const 16)))
        (memory.size)))
    (if (i32.gt_s (local.get $missing) (i32.const 0))
      (then
        (if (i32.lt_s (memory.grow (local.get $missing)) (i32.const 0))
          (then (unreachable)))))
    (i32.const 16))

  (func (export "leat_transform") (param $ptr i32) (param $len i32) (result i64)
    (local $end i32)
    (local $index i32)
    (local $length i32)
    (local $start i32)
    (local.set $end (i32.add (local.get $ptr) (local.get $len)))
    (global.set $at (local.get $ptr))
    (block $done
      (loop $next
        (br_if $done (i32.ge_u (global.get $at) (local.get $end)))
        (call $begin_record (local.get $index))
        (local.set $index (i32.add (local.get $index) (i32.const 1)))
        ;; The host lets nothing but records into a batch: the tag needs no look.
        (drop (call $varint))
        (local.set $length (call $varint))
        (call $record (i32.add (global.get $at) (local.get $length)))
        (br $next)))

    ;; The head, right in front of the input: tag, then length, of 2 to 6 bytes.
    (local.set $start
      (i32.sub
        (i32.sub (local.get $ptr) (i32.const 1))
        (call $varint_bytes (local.get $len))))
    (i32.store8 (local.get $start) (i32.const 0x0a))
    (call $write_varint (i32.add (local.get $start) (i32.const 1)) (local.get $len))
    (i64.or
      (i64.shl (i64.extend_i32_u (local.get $start)) (i64.const 32))
      (i64.extend_i32_u (i32.sub (local.get $end) (local.get $start)))))

  ;; Reads the fields of one record up to $end.
  (func $record (param $end i32)
    (local $tag i32)
    (local $length i32)
    (block $done
      (loop $next
        (br_if $done (i32.ge_u (global.get $at) (local.get $end)))
        ;; As a varint: a tag may be longer than it must be.
        (local.set $tag (call $varint))
        (if (i32.eq (local.get $tag) (i32.const 0x12))
          (then
            (local.set $length (call $varint))
            (call $upper (global.get $at) (i32.add (global.get $at) (local.get $length)))
            (global.set $at (i32.add (global.get $at) (local.get $length))))
          (else (call $skip (i32.and (local.get $tag) (i32.const 7)))))
        (br $next))))

  ;; Passes over a field's content, by its wire type.
  (func $skip (param $type i32)
    (local $length i32)
    (if (i32.eqz (local.get $type))
      (then
        (drop (call $varint))
        (return)))
    (if (i32.eq (local.get $type) (i32.const 1))
      (then
        (global.set $at (i32.add (global.get $at) (i32.const 8)))
        (return)))
    (if (i32.eq (local.get $type) (i32.const 2))
      (then
        (local.set $length (call $varint))
        (global.set $at (i32.add (global.get $at) (local.get $length)))
        (return)))
    (if (i32.eq (local.get $type) (i32.const 5))
      (then
        (global.set $at (i32.add (global.get $at) (i32.const 4)))
        (return)))
    ;; There are no groups.
    (unreachable))

  ;; Turns letters in [$from, $end) to upper case, one byte at a time.
  (func $upper (param $from i32) (param $end i32)
    (local $byte i32)
    (block $done
      (loop $next
        (br_if $done (i32.ge_u (local.get $from) (local.get $end)))
        (local.set $byte (i32.load8_u (local.get $from)))
        (if (i32.lt_u (i32.sub (local.get $byte) (i32.const 0x61)) (i32.const 26))
          (then (i32.store8 (local.get $from) (i32.sub (local.get $byte) (i32.const 0x20)))))
        (local.set $from (i32.add (local.get $from) (i32.const 1)))
        (br $next))))

  ;; Reads a varint. Of more than 32 bits only the lower ones count, which is enough for tags, lengths and skipping.
  (func $varint (result i32)
    (local $value i32)
    (local $shift i32)
    (local $byte i32)
    (loop $next
      (local.set $byte (i32.load8_u (global.get $at)))
      (global.set $at (i32.add (global.get $at) (i32.const 1)))
      ;; A shift by 32 or more would wrap around.
      (if (i32.lt_u (local.get $shift) (i32.const 32))
        (then
          (local.set $value
            (i32.or
              (local.get $value)
              (i32.shl (i32.and (local.get $byte) (i32.const 0x7f)) (local.get $shift))))))
      (local.set $shift (i32.add (local.get $shift) (i32.const 7)))
      (br_if $next (i32.ge_u (local.get $byte) (i32.const 0x80))))
    (local.get $value))

  (func $varint_bytes (param $value i32) (result i32)
    (local $bytes i32)
    (loop $next
      (local.set $bytes (i32.add (local.get $bytes) (i32.const 1)))
      (local.set $value (i32.shr_u (local.get $value) (i32.const 7)))
      (br_if $next (local.get $value)))
    (local.get $bytes))

  (func $write_varint (param $to i32) (param $value i32)
    (block $done
      (loop $next
        (br_if $done (i32.lt_u (local.get $value) (i32.const 0x80)))
        (i32.store8 (local.get $to) (i32.or (local.get $value) (i32.const 0x80)))
        (local.set $to (i32.add (local.get $to) (i32.const 1)))
        (local.set $value (i32.shr_u (local.get $value) (i32.const 7)))
        (br $next)))
    (i32.store8 (local.get $to) (local.get $value))))
