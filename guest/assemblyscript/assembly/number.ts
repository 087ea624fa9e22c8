// Numbers in JSON's notation: RFC 8259, section 6.

import { parseDecimal } from "./decimal";

// @ts-ignore: decorator
@inline
function isDigit(byte: u8): bool {
  return <u8>(byte - 0x30) < 10;
}

/** The address behind the number that begins at `at`, or 0 when none does; `scanProblem` then says where it stopped. */
export function scanNumber(at: usize, end: usize): usize {
  if (at < end && load<u8>(at) == 0x2d) at++;
  scanProblem = at;
  if (at >= end || !isDigit(load<u8>(at))) return 0;
  if (load<u8>(at) == 0x30) {
    at++; // a leading zero stands alone
  } else {
    while (at < end && isDigit(load<u8>(at))) at++;
  }
  if (at < end && load<u8>(at) == 0x2e) {
    scanProblem = ++at;
    if (at >= end || !isDigit(load<u8>(at))) return 0;
    while (at < end && isDigit(load<u8>(at))) at++;
  }
  if (at < end && (load<u8>(at) | 0x20) == 0x65) {
    at++;
    if (at < end && (load<u8>(at) == 0x2b || load<u8>(at) == 0x2d)) at++;
    scanProblem = at;
    if (at >= end || !isDigit(load<u8>(at))) return 0;
    while (at < end && isDigit(load<u8>(at))) at++;
  }
  return at;
}

/** Where the number that `scanNumber` refused went wrong. */
export let scanProblem: usize = 0;

/** The value of the number that fills `[from, end)`, or NaN when that is none. */
export function parseNumber(from: usize, end: usize): f64 {
  if (from >= end || scanNumber(from, end) != end) return NaN;
  let at = from;
  const negative = load<u8>(at) == 0x2d;
  if (negative) at++;
  let mantissa: u64 = 0;
  let digits = 0;
  let exponent = 0;
  let afterPoint = false;
  for (; at < end; at++) {
    const byte = load<u8>(at);
    if (byte == 0x2e) {
      afterPoint = true;
    } else if (isDigit(byte)) {
      if (mantissa != 0 || byte != 0x30) digits++;
      mantissa = mantissa * 10 + <u64>(byte - 0x30);
      if (afterPoint) exponent--;
      if (digits > 18) return parseDecimal(from, end);
    } else {
      break;
    }
  }
  if (at < end) {
    at++;
    const sign = load<u8>(at);
    if (sign == 0x2b || sign == 0x2d) at++;
    let written = 0;
    for (; at < end; at++) {
      written = written * 10 + <i32>(load<u8>(at) - 0x30);
      if (written > 9999) return parseDecimal(from, end);
    }
    exponent += sign == 0x2d ? -written : written;
  }
  // Exact: both operands are, so the one operation rounds correctly (Clinger's fast path).
  if (mantissa <= 1 << 53 && exponent >= -22 && exponent <= 22) {
    const power = load<f64>(powers + (<usize>abs(exponent) << 3));
    const value = exponent < 0 ? <f64>mantissa / power : <f64>mantissa * power;
    return negative ? -value : value;
  }
  return parseDecimal(from, end);
}

const powers = memory.data<f64>([
  1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15, 1e16, 1e17, 1e18, 1e19, 1e20,
  1e21, 1e22,
], 8);
