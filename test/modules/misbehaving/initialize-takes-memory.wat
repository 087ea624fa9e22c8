;; Takes all memory when it is initialised, and traps.
(module
  (memory (export "memory") 1)
  (func (export "leat_alloc") (param i32) (result i32) (i32.const 1024))
  (func (export "leat_transform") (param i32 i32) (result i64) (i64.const 0))
  (func (export "_initialize")
    (loop $more (br_if $more (i32.ne (memory.grow (i32.const 1)) (i32.const -1))))
    (unreachable))
)
