// The double nearest to a decimal number, for those that `number.ts` cannot do with one multiplication. The language's own parser is off
// by powers of ten for some inputs (9.117066965914721e+38).
//
// The number is kept as decimal digits, 0.d1d2d3… × 10^point, and multiplied or divided by powers of two until it lies in [0.5, 1): the
// powers add up to the exponent, and 53 binary digits more are the mantissa. Slow, exact, and small.

/** More digits than the longest number that lies half way between two doubles has; what is cut off only breaks ties. */
const MAX_DIGITS: i32 = 800;
/** The most binary places that one shift moves: digit << places must fit 64 bits with its carry. */
const MAX_SHIFT: i32 = 54;

const digits = memory.data(MAX_DIGITS);
/** Where `multiply` writes, from the end: one shift adds fewer than 24 digits. */
const room = memory.data(MAX_DIGITS + 24);
let count: i32 = 0;
let point: i32 = 0;
/** Whether digits other than 0 were cut off. */
let inexact: bool = false;

/** The value of the number in JSON's notation that fills `[from, end)`. */
export function parseDecimal(from: usize, end: usize): f64 {
  const negative = load<u8>(from) == 0x2d;
  readDigits(negative ? from + 1 : from, end);
  const value = reinterpret<f64>(toBits());
  return negative ? -value : value;
}

function readDigits(at: usize, end: usize): void {
  count = 0;
  point = 0;
  inexact = false;
  let behindPoint = false;
  for (; at < end && (load<u8>(at) | 0x20) != 0x65; at++) {
    const byte = load<u8>(at);
    if (byte == 0x2e) {
      behindPoint = true;
      continue;
    }
    const isLeadingZero = byte == 0x30 && count == 0;
    if (behindPoint ? isLeadingZero : !isLeadingZero) point += behindPoint ? -1 : 1;
    if (isLeadingZero) continue;
    if (count < MAX_DIGITS) store<u8>(digits + <usize>(count++), byte - 0x30);
    else if (byte != 0x30) inexact = true;
  }
  if (at < end) point += readExponent(at + 1, end);
  trimZeros();
}

function readExponent(at: usize, end: usize): i32 {
  const sign = load<u8>(at);
  if (sign == 0x2b || sign == 0x2d) at++;
  let exponent = 0;
  for (; at < end; at++) exponent = min(exponent * 10 + <i32>(load<u8>(at) - 0x30), 100_000_000);
  return sign == 0x2d ? -exponent : exponent;
}

function trimZeros(): void {
  while (count > 0 && load<u8>(digits + <usize>(count - 1)) == 0) count--;
  if (count == 0) point = 0;
}

function toBits(): u64 {
  if (count == 0 || point < -330) return 0;
  if (point > 310) return INFINITY;
  let exponent = 0;
  while (point > 0) {
    // Dividing by 2^3 leaves less than 10 / 8 of a power of ten: a step never overshoots far.
    const places = point >= 17 ? MAX_SHIFT : point * 3;
    divide(places);
    exponent += places;
  }
  while (point < 0 || load<u8>(digits) < 5) {
    const places = point <= -17 ? MAX_SHIFT : point == 0 ? 1 : -point * 3;
    multiply(places);
    exponent -= places;
  }
  // The mantissa of a double lies in [1, 2).
  exponent--;
  for (; exponent < -1022; ) {
    const places = min(-1022 - exponent, MAX_SHIFT);
    divide(places);
    exponent += places;
  }
  if (exponent > 1023) return INFINITY;
  multiply(53);
  let mantissa = rounded();
  if (mantissa == 1 << 53) {
    mantissa >>= 1;
    if (++exponent > 1023) return INFINITY;
  }
  // Without the leading 1 it is a subnormal number, whose exponent is written as 0.
  const isNormal = (mantissa & (1 << 52)) != 0;
  return (isNormal ? <u64>(exponent + 1023) << 52 : 0) | (mantissa & ((1 << 52) - 1));
}

const INFINITY: u64 = 0x7ff0000000000000;

/** Multiplies by 2^places. */
function multiply(places: i32): void {
  let carry: u64 = 0;
  let to: i32 = MAX_DIGITS + 24;
  for (let i = count - 1; i >= 0; i--) {
    carry += <u64>load<u8>(digits + <usize>i) << places;
    store<u8>(room + <usize>(--to), <u8>(carry % 10));
    carry /= 10;
  }
  const before = to;
  for (; carry > 0; carry /= 10) store<u8>(room + <usize>(--to), <u8>(carry % 10));
  point += before - to;
  const total = MAX_DIGITS + 24 - to;
  count = min(total, MAX_DIGITS);
  for (let i = count; i < total; i++) if (load<u8>(room + <usize>(to + i)) != 0) inexact = true;
  memory.copy(digits, room + <usize>to, <usize>count);
  trimZeros();
}

/** Divides by 2^places: long division, digit by digit. */
function divide(places: i32): void {
  const mask: u64 = (<u64>1 << places) - 1;
  let rest: u64 = 0;
  let read = 0;
  let written = 0;
  // The quotient's first digit is the first that is not 0.
  while (rest >> places == 0 && (read < count || rest != 0)) {
    rest = rest * 10 + (read < count ? <u64>load<u8>(digits + <usize>read) : 0);
    read++;
  }
  point -= read - 1;
  while (rest != 0 || read < count) {
    const digit = <u8>(rest >> places);
    if (written < MAX_DIGITS) store<u8>(digits + <usize>(written++), digit);
    else if (digit != 0) inexact = true;
    rest = (rest & mask) * 10 + (read < count ? <u64>load<u8>(digits + <usize>read) : 0);
    read++;
  }
  count = written;
  trimZeros();
}

/** The nearest whole number; of two, the even one. */
function rounded(): u64 {
  let whole: u64 = 0;
  for (let i = 0; i < point; i++) whole = whole * 10 + (i < count ? <u64>load<u8>(digits + <usize>i) : 0);
  if (point < 0 || point >= count) return whole;
  const next = load<u8>(digits + <usize>point);
  if (next == 5 && point + 1 == count && !inexact) return whole + (whole & 1);
  return next >= 5 ? whole + 1 : whole;
}
