// A module for the kit's own tests: what it does with a record is said by the record's key.

import { Bytes, Config, Counter, Json, Out, Record, Writer, log, nowMs, sha256 } from "@leat/assemblyscript";
import { compose } from "./compose";

const seen = new Counter("seen");
const table: i32[] = [1, 2, 3];
const scratch = new Uint8Array(16);
let remembered: string = "";
let list: string[] = ["kept"];
let prefix: string = "";

export function configure(config: Config): void {
  prefix = config.string("prefix", "");
  if (config.has("level")) config.integer("level", 0, 1, 9);
  if (config.has("ratio")) config.number("ratio");
  if (config.has("fields")) config.strings("fields", true);
  if (config.has("mode")) config.oneOf("mode", ["slow", "fast"], "slow");
  const section = config.section("nested");
  if (section) section.boolean("flag", false);
}

export function transform(record: Record, out: Out): void {
  seen.add();
  const command = record.key.toString();
  if (command == "pass") out.pass(record);
  else if (command == "drop") out.drop();
  else if (command == "emit and drop") emitAndDrop(record, out);
  else if (command == "text") out.text(record, prefix + record.value.toString());
  else if (command == "tombstone") out.tombstone(record);
  else if (command == "split") split(record, out);
  else if (command == "fail") out.fail("refused", "because " + record.value.toString(), true);
  else if (command == "fail late") failLate(record, out);
  else if (command == "fail twice") failTwice(out);
  else if (command == "bad code") out.fail("Bad Code", "");
  else if (command == "build") build(record, out);
  else if (command == "write") write(record, out);
  else if (command == "grow") grow(record, out);
  else if (command == "compose") compose(record, out);
  else if (command == "describe") describe(record, out);
  else if (command == "json") json(record, out);
  else if (command == "number") number(record, out);
  else if (command == "sum") sum(record, out);
  else if (command == "spell") spell(record, out);
  else if (command == "hash") out.value(record, sha256(record.value).toHex());
  else if (command == "allocate") allocate(record, out);
  else if (command == "kept memory") keptMemory(record, out);
  else if (command == "keep a string") remembered = record.value.toString();
  else if (command == "grow a kept list") list.push(record.value.toString());
  else if (command == "log") logAll(record, out);
  else if (command == "out of range") record.value[record.value.length];
  else out.fail("unknown_command", command);
}

function emitAndDrop(record: Record, out: Out): void {
  out.pass(record);
  out.write(record).text("half");
  out.drop();
}

function split(record: Record, out: Out): void {
  const value = record.value;
  let start = 0;
  while (start <= value.length) {
    const comma = value.indexOf(0x2c, start);
    const end = comma < 0 ? value.length : comma;
    out.value(record, value.slice(start, end));
    start = end + 1;
  }
}

function failLate(record: Record, out: Out): void {
  out.pass(record);
  out.text(record, "second");
  out.fail("late", "");
  out.pass(record);
}

function failTwice(out: Out): void {
  out.fail("first", "1");
  out.fail("second", "2");
}

function build(record: Record, out: Out): void {
  const builder = out.begin();
  builder.keyOf(record).headersOf(record).timestampOf(record).header("added", Bytes.of("ä"));
  builder.write().text("written ").number(4.5);
  out.begin().key(Bytes.of("k")).value(Bytes.of("v")).timestamp(-1);
  out.begin();
}

function write(record: Record, out: Out): void {
  const writer = out.write(record);
  writer.jsonString(record.value);
  writer.byte(0x20).number(1e21).byte(0x20).number(NaN).byte(0x20).number(-0.5).byte(0x20).number(3);
}

/** Emits the value as often as it says, so that the output outgrows its first room while other things are allocated. */
function grow(record: Record, out: Out): void {
  const times = <i32>record.value.toNumber();
  for (let i = 0; i < times; i++) {
    const text = "output " + i.toString();
    if (i % 2 == 0) out.text(record, text);
    else out.write(record).text(text);
  }
}

function describe(record: Record, out: Out): void {
  let text = "value " + (record.hasValue ? record.value.toString() : "unset") + ", time " + record.timestampMs.toString();
  const headers = record.headers();
  while (headers.next()) text += ", " + headers.name.toString() + "=" + headers.value.toString();
  const one = record.header("wanted");
  text += one ? ", wanted is " + one.toString() : ", not wanted";
  out.text(record, text);
}

function json(record: Record, out: Out): void {
  const value = Json.parse(record.value, 64);
  if (!value) return out.failJson();
  print(value, out.write(record));
}

function print(value: Json, writer: Writer): void {
  if (value.isArray || value.isObject) {
    writer.text(value.isArray ? "[" : "{");
    const items = value.items();
    while (items.next()) {
      if (value.isObject) {
        writer.jsonString(items.item.key());
        writer.text(":");
      }
      print(items.item, writer);
      writer.text(";");
    }
    writer.text(value.isArray ? "]" : "}");
  } else if (value.isString) {
    writer.jsonString(value.text());
  } else {
    writer.bytes(value.raw());
  }
}

function number(record: Record, out: Out): void {
  const bits = reinterpret<u64>(record.value.toNumber());
  const place = out.map(record, 8);
  store<u64>(place.ptr, bits);
}

function sum(record: Record, out: Out): void {
  const list = Json.parse(record.value);
  if (!list) return out.failJson();
  let total: f64 = 0;
  const items = list.items();
  while (items.next()) total += items.item.number();
  out.write(record).number(total);
}

/** The doubles in the value, as the writer spells them. */
function spell(record: Record, out: Out): void {
  const writer = out.write(record);
  for (let at: usize = 0; at < <usize>record.value.length; at += 8) writer.number(load<f64>(record.value.ptr + at)).byte(0x20);
}

/** What authors of AssemblyScript do all day. */
function allocate(record: Record, out: Out): void {
  const words = record.value.toString().split(" ");
  const counts = new Map<string, i32>();
  for (let i = 0; i < words.length; i++) {
    counts.set(words[i], (counts.has(words[i]) ? counts.get(words[i]) : 0) + 1);
  }
  const keys = counts.keys();
  keys.sort();
  const lines: string[] = [];
  for (let i = 0; i < keys.length; i++) lines.push(keys[i] + "=" + counts.get(keys[i]).toString());
  const array = record.value.toUint8Array();
  let sum = 0;
  for (let i = 0; i < array.length; i++) sum += array[i];
  out.text(record, lines.join(",") + ";" + sum.toString());
}

function keptMemory(record: Record, out: Out): void {
  table[0] += record.value.length;
  scratch[0] += 1;
  out.text(record, table[0].toString() + " " + scratch[0].toString() + " " + list[0]);
}

function logAll(record: Record, out: Out): void {
  log.debug("debug " + record.value.toString());
  console.log("console");
  console.error("ouch");
  out.text(record, nowMs().toString() + " " + (Math.random() >= 0 ? "random" : ""));
}
