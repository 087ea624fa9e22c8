import { take } from "./arena";
import { Bytes } from "./bytes";
import { writeCodePoint } from "./utf8";

/** What the inside of a JSON string in `[from, end)`, which was checked, says. A surrogate without its partner becomes U+FFFD. */
export function unescape(from: usize, end: usize): Bytes {
  const copy = take(end - from);
  let to = copy;
  let at = from;
  while (at < end) {
    const byte = load<u8>(at);
    if (byte != 0x5c) {
      store<u8>(to++, byte);
      at++;
      continue;
    }
    const escape = load<u8>(at + 1);
    at += 2;
    if (escape != 0x75) {
      store<u8>(to++, plain(escape));
      continue;
    }
    let code = hex4(at);
    at += 4;
    if ((code & 0xfc00) == 0xd800 && at + 6 <= end && load<u16>(at) == 0x755c) {
      const low = hex4(at + 2);
      if ((low & 0xfc00) == 0xdc00) {
        code = 0x10000 + ((code & 0x3ff) << 10) + (low & 0x3ff);
        at += 6;
      }
    }
    to = writeCodePoint(to, code);
  }
  return Bytes.at(copy, <i32>(to - copy));
}

/** What the letter behind a backslash stands for. */
function plain(escape: u8): u8 {
  switch (escape) {
    case 0x62: return 0x08;
    case 0x66: return 0x0c;
    case 0x6e: return 0x0a;
    case 0x72: return 0x0d;
    case 0x74: return 0x09;
    default: return escape;
  }
}

function hex4(at: usize): u32 {
  let code: u32 = 0;
  for (let i: usize = 0; i < 4; i++) {
    const digit = load<u8>(at + i);
    code = (code << 4) | <u32>(digit <= 0x39 ? digit - 0x30 : (digit | 0x20) - 0x57);
  }
  return code;
}
