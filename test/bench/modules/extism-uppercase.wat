;; The same job for the Extism ABI. Input and output live in blocks of the host's and cross 8 bytes a
;; call, as Extism's plug-in development kits do it.
(module
  (import "extism:host/env" "input_length" (func $input_length (result i64)))
  (import "extism:host/env" "input_load_u8" (func $input_load_u8 (param i64) (result i32)))
  (import "extism:host/env" "input_load_u64" (func $input_load_u64 (param i64) (result i64)))
  (import "extism:host/env" "alloc" (func $alloc (param i64) (result i64)))
  (import "extism:host/env" "store_u8" (func $store_u8 (param i64 i32)))
  (import "extism:host/env" "store_u64" (func $store_u64 (param i64 i64)))
  (import "extism:host/env" "output_set" (func $output_set (param i64 i64)))
  (memory (export "memory") 2)

  (func (export "uppercase") (result i32)
    (local $length i32)
    (local $at i32)
    (local $byte i32)
    (local $block i64)
    (local.set $length (i32.wrap_i64 (call $input_length)))
    ;; In.
    (block $done
      (loop $next
        (br_if $done (i32.gt_u (i32.add (local.get $at) (i32.const 8)) (local.get $length)))
        (i64.store (local.get $at) (call $input_load_u64 (i64.extend_i32_u (local.get $at))))
        (local.set $at (i32.add (local.get $at) (i32.const 8)))
        (br $next)))
    (block $done
      (loop $next
        (br_if $done (i32.ge_u (local.get $at) (local.get $length)))
        (i32.store8 (local.get $at) (call $input_load_u8 (i64.extend_i32_u (local.get $at))))
        (local.set $at (i32.add (local.get $at) (i32.const 1)))
        (br $next)))
    ;; Transform.
    (local.set $at (i32.const 0))
    (block $done
      (loop $next
        (br_if $done (i32.ge_u (local.get $at) (local.get $length)))
        (local.set $byte (i32.load8_u (local.get $at)))
        (i32.store8
          (local.get $at)
          (i32.sub
            (local.get $byte)
            (i32.shl
              (i32.lt_u (i32.sub (local.get $byte) (i32.const 97)) (i32.const 26))
              (i32.const 5))))
        (local.set $at (i32.add (local.get $at) (i32.const 1)))
        (br $next)))
    ;; Out.
    (local.set $block (call $alloc (i64.extend_i32_u (local.get $length))))
    (local.set $at (i32.const 0))
    (block $done
      (loop $next
        (br_if $done (i32.gt_u (i32.add (local.get $at) (i32.const 8)) (local.get $length)))
        (call $store_u64
          (i64.add (local.get $block) (i64.extend_i32_u (local.get $at)))
          (i64.load (local.get $at)))
        (local.set $at (i32.add (local.get $at) (i32.const 8)))
        (br $next)))
    (block $done
      (loop $next
        (br_if $done (i32.ge_u (local.get $at) (local.get $length)))
        (call $store_u8
          (i64.add (local.get $block) (i64.extend_i32_u (local.get $at)))
          (i32.load8_u (local.get $at)))
        (local.set $at (i32.add (local.get $at) (i32.const 1)))
        (br $next)))
    (call $output_set (local.get $block) (i64.extend_i32_u (local.get $length)))
    (i32.const 0)))
