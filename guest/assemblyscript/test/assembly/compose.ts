// Outputs by script, for the tests of the kit's output buffer. The record's value is a list of steps: one byte says what to do, a u32 how
// much of it.

import { Bytes, Out, Record, RecordBuilder, Writer } from "@leat/assemblyscript";

const STEP_BYTES: i32 = 5;

export function compose(record: Record, out: Out): void {
  let builder: RecordBuilder | null = null;
  let writer: Writer | null = null;
  for (let at = 0; at < record.value.length; at += STEP_BYTES) {
    const step = record.value[at];
    const amount = load<u32>(record.value.ptr + <usize>at + 1);
    // Made anew for each step, so that something of the author's lies wherever the output could run over.
    const bytes = letters(amount & 0xffff, 0x61 + <u8>((at / STEP_BYTES) % 26));
    if (step == 0x62) builder = out.begin(); // b
    else if (step == 0x6d) writer = out.write(record); // m
    else if (step == 0x70) out.pass(record); // p
    else if (step == 0x72) out.value(record, bytes); // r
    else if (step == 0x78) out.tombstone(record); // x
    else if (step == 0x63 && writer) one(writer, bytes); // c
    else if (step == 0x64 && writer) writer.bytes(bytes); // d
    else if (builder) writer = build(builder, step, bytes, amount);
  }
}

function build(builder: RecordBuilder, step: u8, bytes: Bytes, amount: u32): Writer | null {
  if (step == 0x6b) builder.key(bytes); // k
  else if (step == 0x76) builder.value(bytes); // v
  else if (step == 0x68) builder.headerBytes(bytes, letters(amount >> 16, 0x7a)); // h
  else if (step == 0x74) builder.timestamp(-<i64>amount); // t
  else if (step == 0x77) return builder.write(); // w
  return null;
}

function one(writer: Writer, bytes: Bytes): void {
  for (let i = 0; i < bytes.length; i++) writer.byte(bytes[i]);
}

function letters(length: i32, letter: u8): Bytes {
  const bytes = Bytes.alloc(length);
  memory.fill(bytes.ptr, letter, <usize>length);
  return bytes;
}
