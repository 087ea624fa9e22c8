;; Upper-cases ASCII bytes in place. Speaks no ABI: the connect-node baseline calls it once per record
;; with the bare value, which is the least that such a service can pay.
(module
  (memory (export "memory") 2)
  ;; Where the caller writes its input; the module keeps nothing else in memory.
  (global (export "input") i32 (i32.const 1024))
  (func (export "uppercase") (param $at i32) (param $length i32)
    (local $end i32)
    (local $byte i32)
    (local.set $end (i32.add (local.get $at) (local.get $length)))
    (block $done
      (loop $next
        (br_if $done (i32.ge_u (local.get $at) (local.get $end)))
        (local.set $byte (i32.load8_u (local.get $at)))
        (i32.store8
          (local.get $at)
          (i32.sub
            (local.get $byte)
            (i32.shl
              (i32.lt_u (i32.sub (local.get $byte) (i32.const 97)) (i32.const 26))
              (i32.const 5))))
        (local.set $at (i32.add (local.get $at) (i32.const 1)))
        (br $next)))))
