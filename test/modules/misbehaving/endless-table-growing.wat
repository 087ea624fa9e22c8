;; Grows its table until it gets no more, and then goes on asking.
(module
  (memory (export "memory") 2 16)
  (table $table 0 funcref)
  (func (export "leat_alloc") (param $size i32) (result i32) (i32.const 1024))
  (func (export "leat_transform") (param $start i32) (param $length i32) (result i64)
    (if (local.get $length)
      (then
        (loop $for_ever (drop (table.grow $table (ref.null func) (i32.const 1000))) (br $for_ever))))
    (i64.const 0)))
