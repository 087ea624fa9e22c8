// Reads calendar dates as people write them.

import { Bytes } from "@leat/assemblyscript";

const MONTHS: string = "janfebmaraprmayjunjulaugsepoctnovdec";

/** The parts of the date that was read last. */
export let year: i32 = 0;
export let month: i32 = 0;
export let day: i32 = 0;

/** Up to three parts of a date: numbers, and -month for a name. */
const parts = new StaticArray<i32>(3);
const digits = new StaticArray<i32>(3);

/**
 * Reads `1998-06-12`, `1998/06/12`, `Jun 12 1998`, `June 12, 1998`, `12 Jun 1998` or `12-Jun-1998`, each with anything behind a `T` or the
 * third part left out of account. Years have four digits. Says whether it is a date that exists.
 */
export function readDate(text: Bytes): bool {
  let count = 0;
  let at = 0;
  while (at < text.length && count < 3) {
    const byte = text[at];
    if (byte >= 0x30 && byte <= 0x39) {
      const start = at;
      let value = 0;
      while (at < text.length && text[at] >= 0x30 && text[at] <= 0x39 && at - start < 5) value = value * 10 + (text[at++] - 0x30);
      digits[count] = at - start;
      parts[count++] = value;
    } else if (<u8>((byte | 0x20) - 0x61) < 26) {
      const name = monthAt(text, at);
      if (name == 0) return false;
      while (at < text.length && <u8>((text[at] | 0x20) - 0x61) < 26) at++;
      digits[count] = 0;
      parts[count++] = -name;
    } else if (byte == 0x20 || byte == 0x2d || byte == 0x2f || byte == 0x2c || byte == 0x2e) {
      at++;
    } else {
      return false;
    }
  }
  return count == 3 && arrange();
}

/** The number of the month whose name begins at `at`, or 0. */
function monthAt(text: Bytes, at: i32): i32 {
  if (text.length - at < 3) return 0;
  for (let i = 0; i < 12; i++) {
    let same = true;
    for (let j = 0; j < 3; j++) {
      if (<i32>(text[at + j] | 0x20) != MONTHS.charCodeAt(i * 3 + j)) same = false;
    }
    if (same) return i + 1;
  }
  return 0;
}

function arrange(): bool {
  if (digits[0] == 4 && parts[1] > 0) return set(parts[0], parts[1], parts[2]);
  if (digits[2] != 4) return false;
  if (parts[0] < 0 && parts[1] > 0) return set(parts[2], -parts[0], parts[1]);
  if (parts[0] > 0 && parts[1] < 0) return set(parts[2], -parts[1], parts[0]);
  return false; // 06/12/1998: June or December?
}

function set(y: i32, m: i32, d: i32): bool {
  year = y;
  month = m;
  day = d;
  return m >= 1 && m <= 12 && d >= 1 && d <= daysIn(y, m);
}

function daysIn(y: i32, m: i32): i32 {
  if (m == 2) return y % 4 == 0 && (y % 100 != 0 || y % 400 == 0) ? 29 : 28;
  return m == 4 || m == 6 || m == 9 || m == 11 ? 30 : 31;
}

/** The date that was read last as `1998-06-12`. */
export function isoDate(): string {
  return year.toString().padStart(4, "0") + "-" + month.toString().padStart(2, "0") + "-" + day.toString().padStart(2, "0");
}
