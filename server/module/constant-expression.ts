import type { ByteReader } from "./reader.ts";
import { readNullType, refused } from "./value-types.ts";

/** Operators without immediates: i32 and i64 add, sub, mul (extended constant expressions). */
const arithmetic: ReadonlySet<number> = new Set([0x6a, 0x6b, 0x6c, 0x7c, 0x7d, 0x7e]);

/**
 * The longest one, in bytes. V8 computes them anew for every instance, some 10 ns a byte, and cannot be stopped there: a module of
 * 64 MiB in one took 0.6 s. A vector takes 19, an offset from where a linker puts the segment 10.
 */
const maxBytes = 64;

/**
 * Steps over a constant expression, as in globals and in segments, to the byte after its `end`.
 * V8 checks its types; only its extent matters here.
 *
 * @throws LeatError MODULE_FEATURE_REFUSED, MODULE_MALFORMED
 */
export function skipConstantExpression(reader: ByteReader): void {
  const what = "a constant expression";
  const first = reader.offset;
  for (;;) {
    const start = reader.offset;
    if (start - first >= maxBytes)
      throw refused(`constant expressions of more than ${maxBytes} bytes`, first);
    const opcode = reader.byte(what);
    switch (opcode) {
      case 0x0b: // end
        return;
      case 0x41: // i32.const
        reader.skipSigned(5, what);
        break;
      case 0x42: // i64.const
        reader.skipSigned(10, what);
        break;
      case 0x43: // f32.const
        reader.skip(4, what);
        break;
      case 0x44: // f64.const
        reader.skip(8, what);
        break;
      case 0x23: // global.get
      case 0xd2: // ref.func
        reader.u32(what);
        break;
      case 0xd0: // ref.null
        readNullType(reader);
        break;
      case 0xfb:
        throw refused("garbage collection", start);
      case 0xfd: {
        const operator = reader.u32(what);
        if (operator !== 0x0c)
          throw reader.malformed(`${what} has a vector operator other than const`, start);
        reader.skip(16, what); // v128.const
        break;
      }
      default:
        if (!arithmetic.has(opcode)) {
          throw reader.malformed(`${what} has the operator 0x${opcode.toString(16)}`, start);
        }
    }
  }
}
