;; Reads beyond the end of its memory.
(module
  (memory (export "memory") 2 16)
  (func (export "leat_alloc") (param $size i32) (result i32) (i32.const 1024))
  (func (export "leat_transform") (param $start i32) (param $length i32) (result i64)
    (if (local.get $length)
      (then
        (drop (i32.load (i32.const -4)))))
    (i64.const 0)))
