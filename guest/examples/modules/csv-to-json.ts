// Turns each row of CSV into a JSON object: one record a row, with key, headers and time of the record that it came in. Rows end with LF or
// CR LF; fields may be quoted as in RFC 4180 and then hold delimiters, line ends and doubled quotes. Blank rows are skipped. A byte order
// mark is skipped. A tombstone passes.
//
// Configuration:
//   columns     list of strings: the names of the columns. Without it the first row of each record names them
//   delimiter   string of one ASCII character, default ","
//   types       object: column -> "string", "number" or "boolean"; default "string". Empty numbers and booleans become null; numbers are
//               kept as they are written, which must be JSON's way; booleans are true and false in any case
//   trim        boolean, default false: strip white space around fields that are not quoted
//
// Fails a whole record with
//   invalid_csv       a quote that is not closed, or text behind a closing quote; the message names the byte
//   csv_columns       a row with more or fewer fields than there are columns
//   invalid_number, invalid_boolean   a field that is none; the message names row and column
//   invalid_utf8      a value that is not UTF-8

import { Bytes, Config, Out, Record, Writer, markMemory, releaseMemory } from "@leat/assemblyscript";

const QUOTE: u8 = 0x22;
const LINE_FEED: u8 = 0x0a;
const CARRIAGE_RETURN: u8 = 0x0d;

enum Type {
  String,
  Number,
  Boolean,
}

let columns: Bytes[] = [];
let types: Type[] = [];
/** The columns that have a type, and it. Used where the first row names the columns. */
let typedColumns: string[] = [];
let typesOfColumns: Type[] = [];
let delimiter: u8 = 0x2c;
let trim: bool = false;

export function configure(config: Config): void {
  const names = config.strings("columns");
  const separator = config.string("delimiter", ",");
  trim = config.boolean("trim", false);
  if (separator.length != 1 || separator.charCodeAt(0) >= 0x80 || '"\n\r'.includes(separator)) {
    config.refuse("'delimiter' must be one ASCII character, and neither a quote nor a line end");
  }
  delimiter = <u8>separator.charCodeAt(0);
  const section = config.section("types");
  if (section) {
    typedColumns = section.keys();
    for (let i = 0; i < typedColumns.length; i++) {
      const word = section.oneOf(typedColumns[i], ["string", "number", "boolean"]);
      typesOfColumns.push(word == "number" ? Type.Number : word == "boolean" ? Type.Boolean : Type.String);
      if (names.length > 0 && !names.includes(typedColumns[i])) {
        config.refuse("'types." + typedColumns[i] + "' is no column");
      }
    }
  }
  for (let i = 0; i < names.length; i++) {
    columns.push(Bytes.of(names[i]));
    types.push(typeOf(columns[i]));
  }
}

function typeOf(column: Bytes): Type {
  for (let i = 0; i < typedColumns.length; i++) if (column.equalsText(typedColumns[i])) return typesOfColumns[i];
  return Type.String;
}

/** Where reading goes on, and the end of the value. */
let at: usize = 0;
let end: usize = 0;
/** Whether the row ended with the field that was read last. */
let rowEnded: bool = false;

export function transform(record: Record, out: Out): void {
  if (!record.hasValue) return out.pass(record);
  const value = record.value;
  if (!value.isUtf8()) return out.fail("invalid_utf8", "the value is not UTF-8");
  at = value.ptr;
  end = at + <usize>value.length;
  if (value.length >= 3 && value[0] == 0xef && value[1] == 0xbb && value[2] == 0xbf) at += 3;
  let names = columns;
  let kinds = types;
  let row = 1;
  if (names.length == 0) {
    names = [];
    kinds = [];
    skipBlankRows();
    if (at == end) return;
    do {
      const name = readField(out, value.ptr);
      if (!name) return;
      names.push(name);
      kinds.push(typeOf(name));
    } while (!rowEnded);
    row++;
  }
  for (skipBlankRows(); at < end; skipBlankRows()) {
    const mark = markMemory();
    if (!writeRow(record, out, names, kinds, row++)) return;
    releaseMemory(mark);
  }
}

/** Turns the row at `at` into a record; false when it failed the record. */
function writeRow(record: Record, out: Out, names: Bytes[], kinds: Type[], row: i32): bool {
  const writer = out.write(record);
  writer.byte(0x7b);
  let column = 0;
  do {
    const field = readField(out, record.value.ptr);
    if (!field) return false;
    if (column < names.length) {
      if (column > 0) writer.byte(0x2c);
      writer.jsonString(names[column]);
      writer.byte(0x3a);
      if (!writeField(writer, field, kinds[column])) {
        const kind = kinds[column] == Type.Number ? "number" : "boolean";
        const where = "row " + row.toString() + ", column " + names[column].toString();
        out.fail("invalid_" + kind, where + " is no " + kind + ": " + field.slice(0, 100).toString());
        return false;
      }
    }
    column++;
  } while (!rowEnded);
  if (column != names.length) {
    const fields = "row " + row.toString() + " has " + column.toString() + " fields";
    out.fail("csv_columns", fields + ", expected " + names.length.toString());
    return false;
  }
  writer.byte(0x7d);
  return true;
}

function writeField(writer: Writer, field: Bytes, type: Type): bool {
  if (type == Type.String) {
    writer.jsonString(field);
    return true;
  }
  const text = field.trim();
  if (text.length == 0) {
    writer.text("null");
    return true;
  }
  if (type == Type.Number) {
    if (isNaN(text.toNumber())) return false;
    writer.bytes(text);
    return true;
  }
  const lower = Bytes.alloc(text.length);
  text.lowerTo(lower);
  const known = lower.equalsText("true") || lower.equalsText("false");
  if (known) writer.bytes(lower);
  return known;
}

function skipBlankRows(): void {
  while (at < end && (load<u8>(at) == LINE_FEED || load<u8>(at) == CARRIAGE_RETURN)) at++;
}

/** Reads the field at `at` and what ends it. Null when it is malformed; the record was then failed. */
function readField(out: Out, start: usize): Bytes | null {
  const field = at < end && load<u8>(at) == QUOTE ? readQuoted(out, start) : readPlain();
  if (!field) return null;
  rowEnded = true;
  if (at < end && load<u8>(at) == delimiter) {
    rowEnded = false;
    at++;
  } else if (at < end) {
    if (load<u8>(at) == CARRIAGE_RETURN && at + 1 < end && load<u8>(at + 1) == LINE_FEED) at++;
    if (load<u8>(at) != LINE_FEED) {
      out.fail("invalid_csv", "text behind a closing quote at byte " + (at - start).toString());
      return null;
    }
    at++;
  }
  return field;
}

function readPlain(): Bytes {
  const from = at;
  while (at < end && load<u8>(at) != delimiter && load<u8>(at) != LINE_FEED) at++;
  let to = at;
  if (to > from && load<u8>(to - 1) == CARRIAGE_RETURN && (at == end || load<u8>(at) == LINE_FEED)) to--;
  const field = Bytes.at(from, <i32>(to - from));
  return trim ? field.trim() : field;
}

/** Reads from an opening quote to behind the closing one. Copies only when there are doubled quotes. */
function readQuoted(out: Out, start: usize): Bytes | null {
  const from = ++at;
  let doubled = 0;
  while (true) {
    const close = Bytes.at(at, <i32>(end - at)).indexOf(QUOTE);
    if (close < 0) {
      out.fail("invalid_csv", "the quote at byte " + (from - 1 - start).toString() + " is not closed");
      return null;
    }
    at += <usize>close + 1;
    if (at >= end || load<u8>(at) != QUOTE) break;
    doubled++;
    at++;
  }
  const raw = Bytes.at(from, <i32>(at - 1 - from));
  return doubled == 0 ? raw : undouble(raw, doubled);
}

function undouble(raw: Bytes, doubled: i32): Bytes {
  const copy = Bytes.alloc(raw.length - doubled);
  let to = copy.ptr;
  for (let i = 0; i < raw.length; i++) {
    const byte = raw[i];
    store<u8>(to++, byte);
    if (byte == QUOTE) i++;
  }
  return copy;
}
