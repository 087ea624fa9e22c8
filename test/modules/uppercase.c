/*
 * A guest of ABI 1 in C, without a C library, written from docs/guest-abi.md: turns the ASCII letters of each record's value to upper
 * case, and fails records whose value holds a zero byte, so that fanout and failures are seen to work. It takes no configuration and
 * says so. Records are copied field by field, each value in upper case on its way.
 *
 *   clang --target=wasm32 -O3 -msimd128 -mbulk-memory -nostdlib -Wl,--no-entry -o uppercase.wasm uppercase.c
 */

typedef unsigned char u8;
typedef unsigned int u32;
typedef unsigned long long u64;

#define EXPORT(name) __attribute__((export_name(name)))
#define IMPORT(name) __attribute__((import_module("leat"), import_name(name)))

IMPORT("begin_record") void begin_record(u32 index);
IMPORT("log") void host_log(u32 level, const char *text, u32 length);
IMPORT("counter_add") void counter_add(const char *name, u32 length, double delta);

/* Set by the linker: where the data and the stack end. */
extern u8 __heap_base;

/* Memory from __heap_base on: the input, then the output, then the fanout, then the failures, anew with each batch. */

static void reserve(u64 end) {
  u64 pages = (end + 0xffff) >> 16;
  u64 present = __builtin_wasm_memory_size(0);
  if (pages > present && __builtin_wasm_memory_grow(0, pages - present) == (unsigned long)-1) __builtin_trap();
}

EXPORT("leat_alloc") void *leat_alloc(u32 size) {
  reserve((u64)(u32)&__heap_base + size);
  return &__heap_base;
}

static u64 span(const void *start, const void *end) {
  return (u64)(u32)start << 32 | (u32)((const u8 *)end - (const u8 *)start);
}

static const char refusal[] = "this module takes no configuration";

/* Accepts an object without members, with white space where JSON allows it. */
EXPORT("leat_init") u64 leat_init(const u8 *at, u32 length) {
  const u8 *end = at + length;
  u32 braces = 0;
  for (; at < end; at++) {
    if (*at == ' ' || *at == '\n' || *at == '\r' || *at == '\t') continue;
    if (*at != "{}"[braces] || ++braces > 2) break;
  }
  if (at == end && braces == 2) return 0;
  host_log(2, refusal, sizeof refusal - 1);
  return span(refusal, refusal + sizeof refusal - 1);
}

/* Reads a varint and moves `*at` behind it. The upper bits of one that is longer than 64 bits are lost. */
static u64 read_varint(const u8 **at) {
  u64 value = 0;
  for (u32 shift = 0;; shift += 7) {
    u8 byte = *(*at)++;
    if (shift < 64) value |= (u64)(byte & 0x7f) << shift;
    if (byte < 0x80) return value;
  }
}

static u8 *write_varint(u8 *to, u64 value) {
  for (; value >= 0x80; value >>= 7) *to++ = (u8)value | 0x80;
  *to++ = (u8)value;
  return to;
}

static u8 *copy(u8 *to, const void *from, u32 length) {
  __builtin_memcpy(to, from, length);
  return to + length;
}

/* The field behind the tag that was read: moves `*at` to its end. */
static void skip_field(const u8 **at, u64 tag) {
  switch (tag & 7) {
    case 0: read_varint(at); break;
    case 1: *at += 8; break;
    case 2: {
      u32 length = (u32)read_varint(at);
      *at += length;
      break;
    }
    case 5: *at += 4; break;
    default: __builtin_trap(); /* There are no groups. */
  }
}

/* Copies a record in upper case; 0 when it must be failed. */
static u8 *transform_record(u8 *to, const u8 *at, const u8 *end) {
  while (at < end) {
    const u8 *field = at;
    u64 tag = read_varint(&at);
    if (tag != 0x12) {
      skip_field(&at, tag);
      to = copy(to, field, (u32)(at - field));
      continue;
    }
    u32 length = (u32)read_varint(&at);
    to = copy(to, field, (u32)(at - field));
    u8 zeros = 0;
    for (u32 i = 0; i < length; i++) {
      u8 byte = at[i];
      zeros |= byte == 0;
      to[i] = (u8)(byte - 'a') < 26 ? byte - 32 : byte;
    }
    if (zeros) return 0;
    to += length;
    at += length;
  }
  return to;
}

static const char code[] = "zero_byte";
static const char message[] = "the value holds a zero byte";

static u8 *write_failure(u8 *to, u32 index) {
  u8 body[64];
  u8 *end = body;
  if (index != 0) {
    *end++ = 0x08;
    end = write_varint(end, index);
  }
  *end++ = 0x12;
  *end++ = sizeof code - 1;
  end = copy(end, code, sizeof code - 1);
  *end++ = 0x1a;
  *end++ = sizeof message - 1;
  end = copy(end, message, sizeof message - 1);
  *to++ = 0x1a;
  to = write_varint(to, (u64)(end - body));
  return copy(to, body, (u32)(end - body));
}

/* What a result needs at most for one record, beside its bytes: a failure and its fanout. */
#define RECORD_ROOM 80
/* The tags and lengths of the result's parts. */
#define RESULT_ROOM 32

EXPORT("leat_transform") u64 leat_transform(const u8 *input, u32 length) {
  const u8 *end = input + length;
  u32 records = 0;
  for (const u8 *at = input; at < end; records++) skip_field(&at, read_varint(&at));

  /* Records do not grow, so the batch's room is known, and so is that of the rest. */
  u8 *start = (u8 *)end + RESULT_ROOM;
  u8 *fanout = start + length;
  u8 *failures = fanout + RESULT_ROOM + records;
  reserve((u64)(u32)failures + (u64)records * RECORD_ROOM);
  u8 *to = start, *fanout_end = fanout, *failures_end = failures;

  u32 index = 0;
  for (const u8 *at = input; at < end; index++) {
    begin_record(index);
    const u8 *head = at;
    read_varint(&at);
    u32 size = (u32)read_varint(&at);
    u8 *body = copy(to, head, (u32)(at - head));
    u8 *done = transform_record(body, at, at + size);
    if (done) to = done;
    else failures_end = write_failure(failures_end, index);
    *fanout_end++ = done != 0;
    at += size;
  }
  if (records) counter_add("records", 7, records);

  /* The batch's head goes right before it. Then fanout and failures follow, if there is anything to tell. */
  u8 head[8];
  u8 *head_end = head;
  *head_end++ = 0x0a;
  head_end = write_varint(head_end, (u64)(to - start));
  start -= head_end - head;
  copy(start, head, (u32)(head_end - head));
  if (failures_end != failures) {
    u8 length_bytes[8];
    u8 *length_end = write_varint(length_bytes, records);
    *to++ = 0x12;
    to = copy(to, length_bytes, (u32)(length_end - length_bytes));
    __builtin_memmove(to, fanout, records);
    to += records;
    __builtin_memmove(to, failures, (u32)(failures_end - failures));
    to += failures_end - failures;
  }
  return span(start, to);
}
