;; Throws and catches exceptions for ever.
(module
  (memory (export "memory") 2 16)
  (tag $oops)
  (func (export "leat_alloc") (param $size i32) (result i32) (i32.const 1024))
  (func (export "leat_transform") (param $start i32) (param $length i32) (result i64)
    (if (local.get $length)
      (then
        (loop $for_ever
          (try (do (throw $oops)) (catch_all))
          (br $for_ever))))
    (i64.const 0)))
