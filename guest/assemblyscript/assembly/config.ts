import { Json, JsonKind } from "./json";

/** What went wrong with the configuration first, or "". */
let mistake: string = "";

/**
 * The stage's configuration, for `configure`: typed access to a JSON object. A mistake does not throw, for the language cannot catch.
 * Instead the getter gives its fallback, the first mistake is kept, and the module refuses to start with a message that names the key.
 * A key that `configure` never asked for is a mistake as well, since it is most likely a misspelt one.
 */
export class Config {
  private asked: string[] = [];
  private sections: Config[] = [];

  constructor(
    private json: Json,
    private path: string,
  ) {}

  /** Whether there is such a key, and it is not null. */
  has(key: string): bool {
    return this.get(key, true) !== null;
  }

  /** Text. Without a fallback the key must be there. */
  string(key: string, fallback: string | null = null): string {
    const value = this.get(key, fallback !== null);
    if (value && value.isString) return value.text().toString();
    if (value) this.expect(key, "a string", value);
    return fallback !== null ? fallback : "";
  }

  /** A number. Without a fallback the key must be there. */
  number(key: string, fallback: f64 = NaN): f64 {
    const value = this.get(key, !isNaN(fallback));
    if (value && value.isNumber) return value.number();
    if (value) this.expect(key, "a number", value);
    return fallback;
  }

  /** A whole number from `least` to `most`. */
  integer(key: string, fallback: i32, least: i32 = i32.MIN_VALUE, most: i32 = i32.MAX_VALUE): i32 {
    const value = this.get(key, true);
    if (!value) return fallback;
    const number = value.number();
    if (number >= <f64>least && number <= <f64>most && number == Math.trunc(number)) return <i32>number;
    this.expect(key, "a whole number from " + least.toString() + " to " + most.toString(), value);
    return fallback;
  }

  /** True or false. */
  boolean(key: string, fallback: bool): bool {
    const value = this.get(key, true);
    if (value && value.isBool) return value.kind == JsonKind.True;
    if (value) this.expect(key, "true or false", value);
    return fallback;
  }

  /** One of several words. Without a fallback the key must be there. */
  oneOf(key: string, words: string[], fallback: string | null = null): string {
    const word = this.string(key, fallback);
    if (mistake == "" && !words.includes(word)) {
      this.refuse("'" + this.path + key + "' must be one of " + words.join(", ") + ", but is " + word);
    }
    return word;
  }

  /** A list of texts; empty when the key is absent, which `required` forbids. */
  strings(key: string, required: bool = false): string[] {
    const list: string[] = [];
    const value = this.get(key, !required);
    if (!value) return list;
    if (!value.isArray) this.expect(key, "a list of strings", value);
    const items = value.items();
    while (items.next()) {
      if (items.item.isString) list.push(items.item.text().toString());
      else this.expect(key, "a list of strings", items.item);
    }
    return list;
  }

  /** A nested object with the same rules, or null when the key is absent. */
  section(key: string): Config | null {
    const value = this.get(key, true);
    if (!value) return null;
    if (!value.isObject) {
      this.expect(key, "an object", value);
      return null;
    }
    const section = new Config(value, this.path + key + ".");
    this.sections.push(section);
    return section;
  }

  /** The keys that there are, in order. */
  keys(): string[] {
    const keys: string[] = [];
    const items = this.json.items();
    while (items.next()) keys.push(items.item.key().toString());
    return keys;
  }

  /** The JSON value of a key, or null when it is absent, for shapes that the other getters have no words for. */
  value(key: string): Json | null {
    return this.get(key, true);
  }

  /** Refuses the configuration. Only the first mistake is reported. */
  refuse(message: string): void {
    if (mistake == "") mistake = message;
  }

  private get(key: string, optional: bool): Json | null {
    if (!this.asked.includes(key)) this.asked.push(key);
    const value = this.json.getText(key);
    if (value && !value.isNull) return value;
    if (!optional) this.refuse("'" + this.path + key + "' is required");
    return null;
  }

  private expect(key: string, what: string, value: Json): void {
    this.refuse("'" + this.path + key + "' must be " + what + ", but is " + value.kindName());
  }

  /** The first mistake in all that was asked, unknown keys included, or "". Called by the kit after `configure`. */
  verdict(): string {
    const keys = this.keys();
    for (let i = 0; i < keys.length; i++) {
      if (!this.asked.includes(keys[i])) {
        const known = this.asked.length == 0 ? "there are none" : "known are " + this.asked.join(", ");
        this.refuse("'" + this.path + keys[i] + "' is no key of this module's configuration; " + known);
      }
    }
    for (let i = 0; i < this.sections.length; i++) this.sections[i].verdict();
    return mistake;
  }
}
