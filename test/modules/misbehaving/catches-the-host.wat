;; Gives the host a bad pointer, and catches what it throws to go on as if nothing were.
(module
  (import "leat" "log" (func $log (param i32 i32 i32)))
  (memory (export "memory") 2 16)
  ;; One record without fields.
  (data (i32.const 16) "\0a\02\0a\00")
  (func (export "leat_alloc") (param $size i32) (result i32) (i32.const 1024))
  (func (export "leat_transform") (param $start i32) (param $length i32) (result i64)
    (if (local.get $length)
      (then
        (try (do (call $log (i32.const 1) (i32.const -16) (i32.const 64))) (catch_all))
        (return (i64.const 0x1000000004))))
    (i64.const 0)))
