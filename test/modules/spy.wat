;; Looks for what earlier records left behind, and leaves something itself. The first byte of a batch's first record says which:
;;
;;   p  leaves the record in its memory, also on a page that it takes for that, in a global and in a table
;;   t  leaves it and traps
;;   l  leaves it and loops for ever
;;   o  leaves it, takes memory until there is no more, and traps
;;
;; It answers every batch with one record that says what it found, 0 for nothing and 1 for something:
;;
;;   m?  before the input was written: any byte of its memory that is not zero
;;   g?  its global, t? its table
;;   p?  beside the input: any byte of its memory, or of pages that it has just taken
(module
  (memory (export "memory") 2 1024)
  (table $kept 1 funcref)
  (elem declare func $mark)
  (global $left (mut i64) (i64.const 0))
  (global $size (mut i32) (i32.const 0))
  ;; The answer: a result, its batch, one record with a value of eight bytes. All below 64 is its own.
  (data (i32.const 16) "\0a\0c\0a\0a\12\08m0g0t0p0")

  (func $mark)

  ;; 1 if a byte in [$from, $to) is not zero.
  (func $any (param $from i32) (param $to i32) (result i32)
    (block $done
      (loop $next
        (br_if $done (i32.ge_u (local.get $from) (local.get $to)))
        (if (i32.load8_u (local.get $from)) (then (return (i32.const 1))))
        (local.set $from (i32.add (local.get $from) (i32.const 1)))
        (br $next)))
    (i32.const 0))

  ;; Where the varint at $from ends.
  (func $behind_length (param $from i32) (result i32)
    (loop $next
      (if (i32.and (i32.load8_u (local.get $from)) (i32.const 128))
        (then
          (local.set $from (i32.add (local.get $from) (i32.const 1)))
          (br $next))))
    (i32.add (local.get $from) (i32.const 1)))

  (func $end (result i32) (i32.shl (memory.size) (i32.const 16)))

  (func $tell (param $place i32) (param $found i32)
    (i32.store8 (local.get $place) (i32.add (i32.const 48) (local.get $found))))

  (func $leave (param $start i32) (param $length i32)
    (memory.copy (i32.const 1024) (local.get $start) (local.get $length))
    (drop (memory.grow (i32.const 1)))
    (memory.copy (i32.sub (call $end) (local.get $length)) (local.get $start) (local.get $length))
    (global.set $left (i64.load (local.get $start)))
    (table.set $kept (i32.const 0) (ref.func $mark)))

  (func (export "leat_alloc") (param $size i32) (result i32)
    (call $tell (i32.const 23) (call $any (i32.const 64) (call $end)))
    (call $tell (i32.const 25) (i64.ne (global.get $left) (i64.const 0)))
    (call $tell (i32.const 27) (i32.eqz (ref.is_null (table.get $kept (i32.const 0)))))
    (drop (memory.grow (i32.shr_u (local.get $size) (i32.const 16))))
    (i32.const 65536))

  (func (export "leat_transform") (param $start i32) (param $length i32) (result i64)
    (local $act i32)
    (if (i32.eqz (local.get $length)) (then (return (i64.const 0))))
    (drop (memory.grow (i32.const 2)))
    (call $tell (i32.const 29)
      (i32.or
        (call $any (i32.const 64) (local.get $start))
        (call $any (i32.add (local.get $start) (local.get $length)) (call $end))))
    ;; A batch is one record that has nothing but a value.
    (local.set $act
      (i32.load8_u
        (call $behind_length (i32.add (call $behind_length (i32.add (local.get $start) (i32.const 1))) (i32.const 1)))))
    (if
      (i32.or
        (i32.or (i32.eq (local.get $act) (i32.const 112)) (i32.eq (local.get $act) (i32.const 116)))
        (i32.or (i32.eq (local.get $act) (i32.const 108)) (i32.eq (local.get $act) (i32.const 111))))
      (then (call $leave (local.get $start) (i32.const 24))))
    (if (i32.eq (local.get $act) (i32.const 116)) (then (unreachable)))
    (if (i32.eq (local.get $act) (i32.const 108)) (then (loop $for_ever (br $for_ever))))
    (if (i32.eq (local.get $act) (i32.const 111))
      (then
        (loop $more (br_if $more (i32.ne (memory.grow (i32.const 1)) (i32.const -1))))
        (unreachable)))
    (i64.const 0x100000000e)))
