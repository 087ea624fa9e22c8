import { Bytes } from "./bytes";
import { sink } from "./sink";
import { findStringBreak } from "./vector";

/**
 * Appends to the value of the record that `out.write` opened, straight into the output. There is one of these. It is good until the
 * next call of a method of `Out` or until `transform` returns, either of which completes the record. Every method returns the writer.
 */
@unmanaged
export class Writer {
  /** How many bytes were written to this value. */
  get length(): i32 {
    return <i32>(sink.pos - sink.base - sink.value);
  }

  /** Writes one byte. */
  // @ts-ignore: decorator
  @inline
  byte(byte: u8): Writer {
    sink.ensure(1);
    store<u8>(sink.pos, byte);
    sink.pos += 1;
    return this;
  }

  /** Writes bytes as they are. */
  bytes(bytes: Bytes): Writer {
    return this.range(bytes.ptr, bytes.ptr + <usize>bytes.length);
  }

  /** Writes the bytes in `[from, end)` as they are. */
  range(from: usize, end: usize): Writer {
    sink.ensure(end - from);
    memory.copy(sink.pos, from, end - from);
    sink.pos += end - from;
    return this;
  }

  /** Writes text as UTF-8. */
  text(text: string): Writer {
    const units = text.length;
    sink.ensure(<usize>units * 3);
    sink.pos += String.UTF8.encodeUnsafe(changetype<usize>(text), units, sink.pos, false, String.UTF8.ErrorMode.REPLACE);
    return this;
  }

  /**
   * Writes a number in JSON's notation, in the forms that JavaScript gives it, so that it reads back as the same double; now and then with a
   * digit more than JavaScript's, and of 17 digits the last may be another one. What is not finite becomes `null`, for JSON has no word for it.
   */
  number(value: f64): Writer {
    if (!isFinite(value)) return this.text("null");
    if (value == Math.trunc(value) && Math.abs(value) < 1e15) return this.text((<i64>value).toString());
    const text = value.toString();
    return this.text(text.endsWith(".0") ? text.slice(0, -2) : text);
  }

  /** Writes UTF-8 as a JSON string: in quotes, escaped where JSON needs it. The bytes must be valid UTF-8. */
  jsonString(bytes: Bytes): Writer {
    this.byte(0x22);
    let at = bytes.ptr;
    const end = at + <usize>bytes.length;
    while (at < end) {
      let stop = findStringBreak(at, end);
      while (stop < end && load<u8>(stop) >= 0x80) stop = findStringBreak(stop + 1, end);
      if (stop > at) this.range(at, stop);
      if (stop < end) this.escaped(load<u8>(stop++));
      at = stop;
    }
    return this.byte(0x22);
  }

  private escaped(byte: u8): void {
    sink.ensure(6);
    let short: u8 = 0;
    switch (byte) {
      case 0x08: short = 0x62; break;
      case 0x09: short = 0x74; break;
      case 0x0a: short = 0x6e; break;
      case 0x0c: short = 0x66; break;
      case 0x0d: short = 0x72; break;
      case 0x22: case 0x5c: short = byte; break;
    }
    store<u8>(sink.pos, 0x5c);
    if (short != 0) {
      store<u8>(sink.pos + 1, short);
      sink.pos += 2;
    } else {
      store<u32>(sink.pos + 1, 0x30303075); // u000, the byte's first digit follows over the last 0
      store<u8>(sink.pos + 4, 0x30 + (byte >> 4));
      const low = byte & 15;
      store<u8>(sink.pos + 5, low + (low < 10 ? 0x30 : 0x57));
      sink.pos += 6;
    }
  }
}

/** The one writer. It has no state of its own. */
export const writer = changetype<Writer>(memory.data(8, 8));
