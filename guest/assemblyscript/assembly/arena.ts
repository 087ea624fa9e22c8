// The kit's memory: one bump arena, and the language's allocator on top of it.
//
//   heap base                kept              floor               top          end of memory
//   |  allocated at start    |  input, output  |  made while one   |  free      |
//   |  and in configure():   |  of this batch  |  record is worked |            |
//   |  lives for ever        |                 |  on               |            |
//
// Nothing is ever freed one by one. After a record `top` goes back to `floor`; with the next batch it goes
// back to `kept`. That is only safe while nothing below a line points above it, so every reference that the
// compiler stores (`__link`) and every global (`__visit_globals`, once a batch) is checked, and a breach
// traps with a message instead of reading memory that was given to something else.
//
// `top` is kept 4 bytes short of a multiple of 16, so that the 4-byte header of a block leaves its payload aligned.

import { BLOCK, BLOCK_OVERHEAD, OBJECT, OBJECT_OVERHEAD } from "rt/common";

/** Bytes that may be read or written past the end of anything in the arena: vectors overshoot by up to 15. */
export const SLACK: usize = 64;

const LARGEST: usize = 1 << 30;

/** Where the next block begins. 0 until the first allocation. */
let top: usize = 0;
/** Allocations may not pass this address. 0 until the first allocation, which sends that one to `refill`. */
let end: usize = 0;
/** What lies below lives for ever. 0 until `keep` was called, and then nothing is temporary yet. */
let kept: usize = 0;
/** Where `top` returns to after each record. */
let floor: usize = 0;

function outOfMemory(): void {
  // Not `abort`: making its message would allocate.
  unreachable();
}

/** Makes room for `size` bytes from `top`, growing the memory by half its size at least where that is allowed. */
function refill(size: usize): void {
  if (size > LARGEST + 32) outOfMemory();
  if (top == 0) top = ((__heap_base + BLOCK_OVERHEAD + 15) & ~15) - BLOCK_OVERHEAD;
  const pages = memory.size();
  const needed = <i32>((top + size + SLACK + 0xffff) >>> 16) - pages;
  if (needed > 0) {
    if (memory.grow(max(needed, pages >> 1)) < 0 && memory.grow(needed) < 0) outOfMemory();
  }
  end = (<usize>memory.size() << 16) - SLACK;
}

// @ts-ignore: decorator
@inline
function blockBytes(size: usize): usize {
  return ((size + BLOCK_OVERHEAD + 15) & ~15) - BLOCK_OVERHEAD;
}

/** Takes `size` bytes, 16-aligned, not zeroed. */
export function take(size: usize): usize {
  const bytes = blockBytes(size);
  if (size > LARGEST || BLOCK_OVERHEAD + bytes > end - top) refill(size + 32);
  const block = top;
  store<usize>(block, bytes);
  top = block + BLOCK_OVERHEAD + bytes;
  return block + BLOCK_OVERHEAD;
}

/** The address that `take` will return next, as long as nothing else takes before. */
// @ts-ignore: decorator
@inline
export function nextBlock(): usize {
  return top + BLOCK_OVERHEAD;
}

/** Extends the block that was taken at `ptr` to `size` bytes if it is the newest; says whether it did. */
export function extend(ptr: usize, size: usize): bool {
  if (ptr + load<usize>(ptr - BLOCK_OVERHEAD) != top) return false;
  const bytes = blockBytes(size);
  if (size > LARGEST || bytes > end - ptr) refill(size + 32);
  store<usize>(ptr - BLOCK_OVERHEAD, bytes);
  top = ptr + bytes;
  return true;
}

/** Whether start-up is over, that is, `keep` was called. */
// @ts-ignore: decorator
@inline
export function isKept(): bool {
  return kept != 0;
}

/** Ends start-up: everything allocated up to now lives as long as the instance. */
export function keep(): void {
  if (top == 0) refill(0);
  kept = top;
  floor = top;
}

/** Gives back all that is not kept. During start-up it gives back nothing. */
// @ts-ignore: decorator
@inline
export function releaseBatch(): void {
  if (kept != 0) top = kept;
}

/** Lets what was allocated up to now live until the batch ends. */
// @ts-ignore: decorator
@inline
export function protectBatch(): void {
  floor = top;
}

/** Gives back what was allocated since `protectBatch`. */
// @ts-ignore: decorator
@inline
export function releaseRecord(): void {
  top = floor;
}

/**
 * Where memory stands, for `releaseMemory`. A record that is turned into very many outputs can so give back what it made for each of them:
 *
 *     const mark = markMemory();
 *     … make one output …
 *     releaseMemory(mark);
 */
export function markMemory(): usize {
  return top;
}

/** Gives back all that was allocated since `markMemory` returned `mark`. None of it may be used afterwards. */
export function releaseMemory(mark: usize): void {
  // The output may have moved above the mark meanwhile; what lies below it then stays.
  top = max(mark, floor);
}

/** Checks that no global refers to anything that goes with the batch. */
export function checkGlobals(): void {
  __visit_globals(0);
}

function dangling(): void {
  assert(false, "a global or a kept object was given something that ends with the record; allocate it in configure()");
}

// What the compiler calls. Names and meanings are those of its runtime interface (std/assembly/rt/index.d.ts).

// @ts-ignore: decorator
@global @unsafe
export function __alloc(size: usize): usize {
  return take(size);
}

// @ts-ignore: decorator
@global @unsafe
export function __realloc(ptr: usize, size: usize): usize {
  const before = load<usize>(ptr - BLOCK_OVERHEAD);
  if (size <= before) return ptr;
  // Doubling keeps repeated appends linear; the newest block just grows.
  if (extend(ptr, size)) return ptr;
  const moved = take(max(size, before << 1));
  memory.copy(moved, ptr, before);
  return moved;
}

// @ts-ignore: decorator
@global @unsafe
export function __free(ptr: usize): void {
  if (ptr + load<usize>(ptr - BLOCK_OVERHEAD) == top && ptr - BLOCK_OVERHEAD >= floor) top = ptr - BLOCK_OVERHEAD;
}

// @ts-ignore: decorator
@global @unsafe
export function __reset(): void {
  assert(false, "heap.reset() would discard what the module keeps");
}

// @ts-ignore: decorator
@global @unsafe
export function __new(size: usize, id: u32): usize {
  const ptr = take(OBJECT_OVERHEAD + size);
  const object = changetype<OBJECT>(ptr - BLOCK_OVERHEAD);
  object.gcInfo = 0;
  object.gcInfo2 = 0;
  object.rtId = id;
  object.rtSize = <u32>size;
  const payload = ptr + OBJECT_OVERHEAD;
  // The library takes fresh objects to be zero. The room behind the payload up to the next block is ours as well.
  memory.fill(payload, 0, size);
  return payload;
}

// @ts-ignore: decorator
@global @unsafe
export function __renew(oldPtr: usize, size: usize): usize {
  const oldSize = changetype<OBJECT>(oldPtr - OBJECT_OVERHEAD - BLOCK_OVERHEAD).rtSize;
  const payload = __realloc(oldPtr - OBJECT_OVERHEAD, OBJECT_OVERHEAD + size) + OBJECT_OVERHEAD;
  changetype<OBJECT>(payload - OBJECT_OVERHEAD - BLOCK_OVERHEAD).rtSize = <u32>size;
  if (size > oldSize) memory.fill(payload + oldSize, 0, size - oldSize);
  return payload;
}

// @ts-ignore: decorator
@global @unsafe
export function __link(parentPtr: usize, childPtr: usize, expectMultiple: bool): void {
  if (kept != 0 && parentPtr < kept && childPtr >= kept) dangling();
}

// @ts-ignore: decorator
@global @unsafe
export function __pin(ptr: usize): usize {
  return ptr;
}

// @ts-ignore: decorator
@global @unsafe
export function __unpin(ptr: usize): void {}

// @ts-ignore: decorator
@global @unsafe
export function __visit(ptr: usize, cookie: u32): void {
  if (ptr >= kept) dangling();
}

// @ts-ignore: decorator
@global @unsafe
export function __collect(): void {}
