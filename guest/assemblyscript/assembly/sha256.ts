// SHA-256 as in FIPS 180-4, section 6.2. One computation at a time.

import { take } from "./arena";
import { Bytes } from "./bytes";

const constants = memory.data<u32>([
  0x428a2f98, 0x71374491, 0xb5c0fbcf, 0xe9b5dba5, 0x3956c25b, 0x59f111f1, 0x923f82a4, 0xab1c5ed5, 0xd807aa98, 0x12835b01,
  0x243185be, 0x550c7dc3, 0x72be5d74, 0x80deb1fe, 0x9bdc06a7, 0xc19bf174, 0xe49b69c1, 0xefbe4786, 0x0fc19dc6, 0x240ca1cc,
  0x2de92c6f, 0x4a7484aa, 0x5cb0a9dc, 0x76f988da, 0x983e5152, 0xa831c66d, 0xb00327c8, 0xbf597fc7, 0xc6e00bf3, 0xd5a79147,
  0x06ca6351, 0x14292967, 0x27b70a85, 0x2e1b2138, 0x4d2c6dfc, 0x53380d13, 0x650a7354, 0x766a0abb, 0x81c2c92e, 0x92722c85,
  0xa2bfe8a1, 0xa81a664b, 0xc24b8b70, 0xc76c51a3, 0xd192e819, 0xd6990624, 0xf40e3585, 0x106aa070, 0x19a4c116, 0x1e376c08,
  0x2748774c, 0x34b0bcb5, 0x391c0cb3, 0x4ed8aa4a, 0x5b9cca4f, 0x682e6ff3, 0x748f82ee, 0x78a5636f, 0x84c87814, 0x8cc70208,
  0x90befffa, 0xa4506ceb, 0xbef9a3f7, 0xc67178f2,
], 4);

const initial = memory.data<u32>([
  0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a, 0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19,
], 4);

const state = memory.data(32, 4);
const schedule = memory.data(256, 4);
const block = memory.data(64, 4);

/** How many bytes wait in `block`, and how many there were in all. */
let waiting: usize = 0;
let total: u64 = 0;

/** The SHA-256 digest, 32 bytes, of `first` followed by `second`. */
export function sha256(first: Bytes, second: Bytes | null = null): Bytes {
  memory.copy(state, initial, 32);
  waiting = 0;
  total = 0;
  update(first.ptr, <usize>first.length);
  if (second) update(second.ptr, <usize>second.length);
  finish();
  const digest = take(32);
  for (let i: usize = 0; i < 32; i += 4) store<u32>(digest + i, bswap<u32>(load<u32>(state + i)));
  return Bytes.at(digest, 32);
}

function update(ptr: usize, length: usize): void {
  total += <u64>length;
  while (length > 0) {
    const part = min<usize>(64 - waiting, length);
    memory.copy(block + waiting, ptr, part);
    waiting += part;
    ptr += part;
    length -= part;
    if (waiting == 64) compress();
  }
}

function finish(): void {
  const bits = total << 3;
  store<u8>(block + waiting++, 0x80);
  if (waiting > 56) {
    memory.fill(block + waiting, 0, 64 - waiting);
    compress();
  }
  memory.fill(block + waiting, 0, 56 - waiting);
  store<u64>(block + 56, bswap<u64>(bits));
  compress();
}

function compress(): void {
  for (let t: usize = 0; t < 64; t += 4) store<u32>(schedule + t, bswap<u32>(load<u32>(block + t)));
  for (let t: usize = 64; t < 256; t += 4) {
    const w2 = load<u32>(schedule + t - 8);
    const w15 = load<u32>(schedule + t - 60);
    const s0 = rotr<u32>(w15, 7) ^ rotr<u32>(w15, 18) ^ (w15 >>> 3);
    const s1 = rotr<u32>(w2, 17) ^ rotr<u32>(w2, 19) ^ (w2 >>> 10);
    store<u32>(schedule + t, s1 + load<u32>(schedule + t - 28) + s0 + load<u32>(schedule + t - 64));
  }
  let a = load<u32>(state);
  let b = load<u32>(state, 4);
  let c = load<u32>(state, 8);
  let d = load<u32>(state, 12);
  let e = load<u32>(state, 16);
  let f = load<u32>(state, 20);
  let g = load<u32>(state, 24);
  let h = load<u32>(state, 28);
  for (let t: usize = 0; t < 256; t += 4) {
    const sum1 = rotr<u32>(e, 6) ^ rotr<u32>(e, 11) ^ rotr<u32>(e, 25);
    const choice = (e & f) ^ (~e & g);
    const t1 = h + sum1 + choice + load<u32>(constants + t) + load<u32>(schedule + t);
    const sum0 = rotr<u32>(a, 2) ^ rotr<u32>(a, 13) ^ rotr<u32>(a, 22);
    const majority = (a & b) ^ (a & c) ^ (b & c);
    h = g;
    g = f;
    f = e;
    e = d + t1;
    d = c;
    c = b;
    b = a;
    a = t1 + sum0 + majority;
  }
  store<u32>(state, load<u32>(state) + a);
  store<u32>(state, load<u32>(state, 4) + b, 4);
  store<u32>(state, load<u32>(state, 8) + c, 8);
  store<u32>(state, load<u32>(state, 12) + d, 12);
  store<u32>(state, load<u32>(state, 16) + e, 16);
  store<u32>(state, load<u32>(state, 20) + f, 20);
  store<u32>(state, load<u32>(state, 24) + g, 24);
  store<u32>(state, load<u32>(state, 28) + h, 28);
  waiting = 0;
}
