;; Asks for no memory for ever.
(module
  (memory (export "memory") 2 16)
  (func (export "leat_alloc") (param $size i32) (result i32) (i32.const 1024))
  (func (export "leat_transform") (param $start i32) (param $length i32) (result i64)
    (if (local.get $length)
      (then
        (loop $for_ever (drop (memory.grow (i32.const 0))) (br $for_ever))))
    (i64.const 0)))
