// Brings dirty JSON objects into one shape: trims, renames, converts and requires fields. Fields without a rule go on as they are, in their
// place. A tombstone passes.
//
// Configuration, in which all fields are called by their names in the input:
//   trim       boolean, default true: strip white space around strings
//   null_if    list of strings: values that mean nothing, such as "N/A" (after trimming)
//   rename     object: name -> new name
//   remove     list of fields to leave out
//   text       list of fields whose numbers and booleans become strings
//   number     list of fields whose strings become numbers; `$`, thousands' commas and white space are passed over
//   date       list of fields whose strings become dates as 1998-06-12; read are that, `1998/06/12`, `Jun 12 1998`, `June 12, 1998`,
//              `12 Jun 1998` and `12-Jun-1998`
//   required   list of fields that must be there and not be null
//
// Fails a record with
//   invalid_json     no JSON, or no object; the message names the byte
//   invalid_number, invalid_date   a field that cannot be converted
//   missing_field    a required field that is absent or null, as it is after all of the above

import { Bytes, Config, Json, Out, Record, Writer } from "@leat/assemblyscript";
import { isoDate, readDate } from "./date/parse";

enum Conversion {
  None,
  Text,
  Number,
  Date,
}

/** What to do with one field. */
class Rule {
  to: Bytes | null = null;
  removed: bool = false;
  required: bool = false;
  conversion: Conversion = Conversion.None;
  /** Whether the current record has it. */
  seen: bool = false;

  constructor(public name: Bytes) {}
}

const rules: Rule[] = [];
let nullWords: Bytes[] = [];
let trim: bool = true;

export function configure(config: Config): void {
  trim = config.boolean("trim", true);
  const words = config.strings("null_if");
  for (let i = 0; i < words.length; i++) nullWords.push(Bytes.of(words[i]));
  const renames = config.section("rename");
  if (renames) {
    const names = renames.keys();
    for (let i = 0; i < names.length; i++) rule(names[i]).to = Bytes.of(renames.string(names[i]));
  }
  const removed = config.strings("remove");
  for (let i = 0; i < removed.length; i++) rule(removed[i]).removed = true;
  const required = config.strings("required");
  for (let i = 0; i < required.length; i++) rule(required[i]).required = true;
  convert(config, "text", Conversion.Text);
  convert(config, "number", Conversion.Number);
  convert(config, "date", Conversion.Date);
}

function convert(config: Config, key: string, conversion: Conversion): void {
  const names = config.strings(key);
  for (let i = 0; i < names.length; i++) {
    const one = rule(names[i]);
    if (one.conversion != Conversion.None) config.refuse("'" + key + "' names the field " + names[i] + " a second time");
    one.conversion = conversion;
  }
}

/** The rule for a field, made if there is none. */
function rule(name: string): Rule {
  for (let i = 0; i < rules.length; i++) if (rules[i].name.equalsText(name)) return rules[i];
  rules.push(new Rule(Bytes.of(name)));
  return rules[rules.length - 1];
}

/** The index of the rule for a member, or -1. */
function findRule(member: Json): i32 {
  for (let i = 0, n = rules.length; i < n; i++) if (member.isNamed(unchecked(rules[i]).name)) return i;
  return -1;
}

export function transform(record: Record, out: Out): void {
  if (!record.hasValue) return out.pass(record);
  const json = Json.parse(record.value);
  if (!json) return out.failJson();
  if (!json.isObject) return out.fail("invalid_json", "the value is " + json.kindName() + ", not an object, at byte 0");
  for (let i = 0; i < rules.length; i++) rules[i].seen = false;
  const writer = out.write(record);
  writer.byte(0x7b);
  let first = true;
  const members = json.items();
  while (members.next()) {
    const member = members.item;
    const index = findRule(member);
    if (index >= 0 && rules[index].removed) {
      if (!isNothing(member)) rules[index].seen = true;
      continue;
    }
    if (!first) writer.byte(0x2c);
    first = false;
    writeName(writer, member, index);
    if (index < 0) writePlain(writer, member);
    else if (!writeConverted(writer, out, member, rules[index])) return;
  }
  writer.byte(0x7d);
  for (let i = 0; i < rules.length; i++) {
    if (rules[i].required && !rules[i].seen) return out.fail("missing_field", rules[i].name.toString() + " is absent or null");
  }
}

/** What a string says, trimmed if that is wanted. */
function textOf(member: Json): Bytes {
  const text = member.text();
  return trim && member.isString ? text.trim() : text;
}

/** Whether a value is null, or a word for it. */
function isNothing(member: Json): bool {
  if (member.isNull) return true;
  if (!member.isString || nullWords.length == 0) return false;
  const text = textOf(member);
  for (let i = 0; i < nullWords.length; i++) if (text.equals(nullWords[i])) return true;
  return false;
}

function writeName(writer: Writer, member: Json, index: i32): void {
  let to: Bytes | null = null;
  if (index >= 0) to = rules[index].to;
  if (to) writer.jsonString(to);
  else writer.range(member.keyPtr - 1, member.keyEnd + 1);
  writer.byte(0x3a);
}

function writePlain(writer: Writer, member: Json): void {
  if (isNothing(member)) {
    writer.text("null");
  } else if (!member.isString || !trim) {
    writer.bytes(member.raw());
  } else {
    const text = member.text();
    const trimmed = text.trim();
    if (trimmed.length == text.length) writer.bytes(member.raw());
    else writer.jsonString(trimmed);
  }
}

/** Writes a field by its rule; false when that failed the record. */
function writeConverted(writer: Writer, out: Out, member: Json, rule: Rule): bool {
  if (isNothing(member)) {
    writer.text("null");
    return true;
  }
  rule.seen = true;
  const text = textOf(member);
  if (rule.conversion == Conversion.Number && member.isString) {
    const number = cleanNumber(text);
    if (number.length == 0) return refuse(out, "invalid_number", member);
    writer.bytes(number);
  } else if (rule.conversion == Conversion.Date && member.isString) {
    if (!readDate(text)) return refuse(out, "invalid_date", member);
    writer.byte(0x22);
    writer.text(isoDate());
    writer.byte(0x22);
  } else if (rule.conversion == Conversion.Number && !member.isNumber) {
    return refuse(out, "invalid_number", member);
  } else if (rule.conversion == Conversion.Date) {
    return refuse(out, "invalid_date", member);
  } else if (rule.conversion == Conversion.Text && (member.isNumber || member.isBool)) {
    writer.jsonString(text);
  } else {
    writePlain(writer, member);
  }
  return true;
}

/** The number in a text without its ornaments, or nothing when there is none. */
function cleanNumber(text: Bytes): Bytes {
  const clean = Bytes.alloc(text.length);
  let length = 0;
  for (let i = 0; i < text.length; i++) {
    const byte = text[i];
    if (byte != 0x24 && byte != 0x2c && byte != 0x20) clean[length++] = byte;
  }
  const number = clean.slice(0, length);
  return isNaN(number.toNumber()) ? clean.slice(0, 0) : number;
}

function refuse(out: Out, code: string, member: Json): bool {
  const what = code == "invalid_number" ? " is no number: " : " is no date: ";
  out.fail(code, member.key().toString() + what + member.raw().slice(0, 100).toString());
  return false;
}
