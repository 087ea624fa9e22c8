import { Bytes } from "./bytes";
import { Growing } from "./sink";
import { lengthBytes, writeLength, writeVarint } from "./wire";

/** The encoded failures of this batch. */
export const failures = changetype<Growing>(memory.data(offsetof<Growing>(), 16));

// Tags of TransformResult.failures and of RecordFailure's fields.
const FAILURES: u8 = 0x1a;
const INDEX: u8 = 0x08;
const CODE: u8 = 0x12;
const MESSAGE: u8 = 0x1a;
const RETRYABLE: u8 = 0x30;

/** 1 to 64 lower case letters, digits and underscores, beginning with a letter: the host refuses others. */
function isCode(code: string): bool {
  for (let i = 0; i < code.length; i++) {
    const unit = code.charCodeAt(i);
    const letter = unit >= 0x61 && unit <= 0x7a;
    if (!letter && (i == 0 || (unit != 0x5f && (unit < 0x30 || unit > 0x39)))) return false;
  }
  return code.length >= 1 && code.length <= 64;
}

/** Notes that record `index` failed. */
export function addFailure(index: i32, code: string, message: string, retryable: bool): void {
  assert(isCode(code), "a failure code must be 1 to 64 lower case letters, digits and _, beginning with a letter");
  const codeBytes = Bytes.of(code);
  const messageBytes = Bytes.of(message);
  let body = textBytes(codeBytes) + textBytes(messageBytes);
  if (index != 0) body += 1 + lengthBytes(<usize>index);
  if (retryable) body += 2;
  if (failures.base == 0) failures.start(1024);
  failures.ensure(body + 16);
  store<u8>(failures.pos, FAILURES);
  failures.pos = writeLength(failures.pos + 1, body);
  if (index != 0) {
    store<u8>(failures.pos, INDEX);
    failures.pos = writeVarint(failures.pos + 1, index);
  }
  writeText(CODE, codeBytes);
  writeText(MESSAGE, messageBytes);
  if (retryable) {
    store<u8>(failures.pos, RETRYABLE);
    store<u8>(failures.pos + 1, 1);
    failures.pos += 2;
  }
}

function textBytes(text: Bytes): usize {
  const length = <usize>text.length;
  return length == 0 ? 0 : 1 + lengthBytes(length) + length;
}

function writeText(tag: u8, text: Bytes): void {
  const length = <usize>text.length;
  if (length == 0) return;
  store<u8>(failures.pos, tag);
  const at = writeLength(failures.pos + 1, length);
  memory.copy(at, text.ptr, length);
  failures.pos = at + length;
}
