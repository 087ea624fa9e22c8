// Masks, hashes or removes fields of a JSON value. What is not redacted keeps its text, byte by byte: numbers, white space and order. A
// record without any of the fields goes on unchanged. A tombstone passes.
//
// Configuration:
//   fields   list of strings, required: paths of the fields. `a.b` is the member b of the member a; `[]` stands for each element of an array:
//            `users[].email`, `[].email`, `matrix[][]`. A dot, a bracket or a backslash in a name is written behind a backslash. All members
//            of that name are redacted where one occurs several times, and however their names are escaped
//   action   "mask" (default), "hash" or "remove"
//   mask     string, default "***": what a masked field says
//   salt     string, default "": what is hashed is the salt and then the field. Without a secret salt, short values can be found by trying
//
// A hash is "sha256:" and 64 hexadecimal digits, over what a string says, or over the text of any other value.
//
// Fails a record whose value is no JSON with `invalid_json`; the message names the byte.

import { Bytes, Config, Json, Out, Record, Writer, sha256 } from "@leat/assemblyscript";

enum Action {
  Mask,
  Hash,
  Remove,
}

/** A step on the way to fields: what is under which name, and under each element. */
class Step {
  names: Bytes[] = [];
  steps: Step[] = [];
  each: Step | null = null;
  /** Whether a field to redact is here. */
  isField: bool = false;

  /** The step under a member, or null. */
  find(member: Json): Step | null {
    const names = this.names;
    for (let i = 0, n = names.length; i < n; i++) {
      if (member.isNamed(unchecked(names[i]))) return unchecked(this.steps[i]);
    }
    return null;
  }

  /** The step under a name, made if there is none. */
  member(name: string): Step {
    for (let i = 0; i < this.names.length; i++) if (this.names[i].equalsText(name)) return this.steps[i];
    this.names.push(Bytes.of(name));
    this.steps.push(new Step());
    return this.steps[this.steps.length - 1];
  }

  /** The step under each element, made if there is none. */
  element(): Step {
    if (!this.each) this.each = new Step();
    return this.each as Step;
  }
}

const root: Step = new Step();
let action: Action = Action.Mask;
let mask: Bytes = Bytes.of("***");
let salt: Bytes = Bytes.of("");

export function configure(config: Config): void {
  const fields = config.strings("fields", true);
  const word = config.oneOf("action", ["mask", "hash", "remove"], "mask");
  action = word == "hash" ? Action.Hash : word == "remove" ? Action.Remove : Action.Mask;
  mask = Bytes.of(config.string("mask", "***"));
  salt = Bytes.of(config.string("salt", ""));
  if (fields.length == 0) config.refuse("'fields' must name one field at least");
  for (let i = 0; i < fields.length; i++) {
    if (!addField(fields[i])) config.refuse("'fields' holds the malformed path " + fields[i]);
  }
}

/** Adds a path to the steps; false when it is malformed. */
function addField(path: string): bool {
  let step = root;
  let at = 0;
  while (true) {
    let name = "";
    for (; at < path.length && path.charAt(at) != "." && path.charAt(at) != "["; at++) {
      if (path.charAt(at) == "]") return false;
      if (path.charAt(at) == "\\" && ++at == path.length) return false;
      name += path.charAt(at);
    }
    // Only the value itself, at the start of a path, has no name, and then must be an array.
    if (name != "") step = step.member(name);
    else if (at != 0 || !path.startsWith("[")) return false;
    for (; path.startsWith("[]", at); at += 2) step = step.element();
    if (at == path.length) break;
    if (path.charAt(at++) != ".") return false;
  }
  step.isField = true;
  return true;
}

/** Writes the value of the current record once there is anything to redact. */
let writer: Writer | null = null;
/** The text before this address was written or left out. */
let done: usize = 0;

export function transform(record: Record, out: Out): void {
  if (!record.hasValue) return out.pass(record);
  const json = Json.parse(record.value);
  if (!json) return out.failJson();
  const value = record.value;
  writer = null;
  done = value.ptr;
  redact(record, out, json, root);
  if (!writer) return out.pass(record);
  (writer as Writer).range(done, value.ptr + <usize>value.length);
}

/** Redacts what is in `parent`. */
function redact(record: Record, out: Out, parent: Json, step: Step): void {
  const items = parent.items();
  // Where to cut from when the current item goes: behind what stays before it. 0 while nothing does.
  let behind: usize = 0;
  // The start of the first items that go, as long as nothing before them stays; else 0.
  let leading: usize = 0;
  let end: usize = 0;
  while (items.next()) {
    const item = items.item;
    const start = item.keyPtr != 0 ? item.keyPtr - 1 : item.ptr;
    const below = parent.isObject ? step.find(item) : step.each;
    const isField = below !== null && below.isField;
    end = item.end;
    if (isField && action == Action.Remove) {
      // The comma goes with the item: the one before it, or for the first items the one behind them.
      if (behind != 0) behind = cut(record, out, behind, end);
      else if (leading == 0) leading = start;
      continue;
    }
    if (leading != 0) cut(record, out, leading, start);
    leading = 0;
    behind = end;
    if (isField) replace(record, out, item);
    else if (below) redact(record, out, item, below);
  }
  if (leading != 0) cut(record, out, leading, end);
}

/** Writes what stands before `from` and leaves out what stands from there to `to`, which it returns. */
function cut(record: Record, out: Out, from: usize, to: usize): usize {
  if (!writer) writer = out.write(record);
  (writer as Writer).range(done, from);
  done = to;
  return to;
}

/** Writes a mask or a hash in the place of a value. */
function replace(record: Record, out: Out, value: Json): void {
  cut(record, out, value.ptr, value.end);
  const to = writer as Writer;
  if (action == Action.Mask) to.jsonString(mask);
  else to.text('"sha256:').bytes(sha256(salt, value.text()).toHex()).byte(0x22);
}
