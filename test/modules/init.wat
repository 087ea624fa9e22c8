;; Guest ABI 1. Gives every batch as it came. What it does when it is started hangs on its configuration, a
;; JSON text of one character:
;;
;;   "r"  refuses it with the text `no such thing`
;;   "t"  traps
;;   "l"  loops for ever
;;   "p"  returns a text that lies outside of its memory
(module
  (memory (export "memory") 128)
  (data (i32.const 8) "no such thing")

  (func (export "leat_alloc") (param $size i32) (result i32)
    (if (i32.gt_u (local.get $size) (i32.const 8000000)) (then (unreachable)))
    (i32.const 64))

  (func (export "leat_init") (param $start i32) (param $length i32) (result i64)
    (local $wish i32)
    (if (i32.lt_u (local.get $length) (i32.const 3)) (then (return (i64.const 0))))
    (local.set $wish (i32.load8_u offset=1 (local.get $start)))
    (if (i32.eq (local.get $wish) (i32.const 114)) (then (return (i64.const 0x80000000d))))
    (if (i32.eq (local.get $wish) (i32.const 116)) (then (unreachable)))
    (if (i32.eq (local.get $wish) (i32.const 108)) (then (loop $for_ever (br $for_ever))))
    (if (i32.eq (local.get $wish) (i32.const 112)) (then (return (i64.const 0x7fffffff00000010))))
    (i64.const 0))

  (func (export "leat_transform") (param $start i32) (param $length i32) (result i64)
    (i32.store8 offset=58 (i32.const 0) (i32.const 10))
    (i32.store8 offset=59 (i32.const 0) (i32.or (i32.and (local.get $length) (i32.const 127)) (i32.const 128)))
    (i32.store8 offset=60 (i32.const 0)
      (i32.or (i32.and (i32.shr_u (local.get $length) (i32.const 7)) (i32.const 127)) (i32.const 128)))
    (i32.store8 offset=61 (i32.const 0)
      (i32.or (i32.and (i32.shr_u (local.get $length) (i32.const 14)) (i32.const 127)) (i32.const 128)))
    (i32.store8 offset=62 (i32.const 0)
      (i32.or (i32.and (i32.shr_u (local.get $length) (i32.const 21)) (i32.const 127)) (i32.const 128)))
    (i32.store8 offset=63 (i32.const 0) (i32.const 0))
    (i64.or (i64.const 0x3a00000000) (i64.extend_i32_u (i32.add (local.get $length) (i32.const 6))))))
