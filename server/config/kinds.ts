/**
 * The kinds of values that a configuration has: how each is written, and what it becomes. All
 * take text as well, because that is what environment variables and flags are.
 *
 * @module
 */

/** A kind of value. */
export interface Kind<T> {
  /** What is allowed, to follow "give": `a time such as 5000, "5s" or "500ms"`. */
  readonly allowed: string;
  /** What of it JSON Schema can say, for editors; {@link Kind.parse} may refuse more. Default: nothing. */
  readonly json?: object;
  /** Reads a value; undefined when it is not allowed. */
  parse(value: unknown): T | undefined;
}

/** Where a server listens. */
export interface Address {
  /** A host name or an IP address, without brackets. */
  readonly host: string;
  /** The port; 0 takes any that is free. */
  readonly port: number;
}

/** Writes an address as a URL has it: IPv6 in brackets. */
export function formatAddress({ host, port }: Address): string {
  return host.includes(":") ? `[${host}]:${port}` : `${host}:${port}`;
}

/** A whole number of at least `min`. */
export function count(min: number): Kind<number> {
  return {
    allowed: `a whole number of at least ${min}`,
    json: {
      anyOf: [
        { type: "integer", minimum: min },
        { type: "string", pattern: "^\\s*\\d+\\s*$" },
      ],
    },
    parse: (value) => wholeNumber(numberOf(value), min),
  };
}

const bytesByUnit: Readonly<Record<string, number>> = { b: 1, kib: 2 ** 10, mib: 2 ** 20, gib: 2 ** 30 };

/** A size in bytes of at least `min`: a number, or text with a unit. */
export function size(min: number): Kind<number> {
  return {
    allowed: `a size in bytes of at least ${min}, such as 4194304, "256KiB", "64MiB" or "1GiB"`,
    json: {
      anyOf: [
        { type: "integer", minimum: min },
        { type: "string", pattern: "^\\s*\\d+(\\.\\d+)?( ?([KkMmGg][Ii])?[Bb])?\\s*$" },
      ],
    },
    parse: (value) => wholeNumber(numberOf(value) ?? withUnit(value, bytesByUnit), min),
  };
}

const msByUnit: Readonly<Record<string, number>> = { ms: 1, s: 1_000, m: 60_000, h: 3_600_000 };

/** The longest time that Node's timers keep; beyond it they fire at once. Source: Node.js, Timers, setTimeout. */
const maxTimeMs = 2 ** 31 - 1;

/** A time in milliseconds of at least `min` and at most 24 days: a number, or text with a unit. */
export function time(min: number): Kind<number> {
  return {
    allowed: `a time in milliseconds of at least ${min} and at most ${maxTimeMs}, such as 5000, "500ms", "5s" or "2m"`,
    json: {
      anyOf: [
        { type: "integer", minimum: min, maximum: maxTimeMs },
        { type: "string", pattern: "^\\s*\\d+(\\.\\d+)?( ?([Mm][Ss]|[SsMmHh]))?\\s*$" },
      ],
    },
    parse: (value) => {
      const ms = wholeNumber(numberOf(value) ?? withUnit(value, msByUnit), min);
      return ms !== undefined && ms <= maxTimeMs ? ms : undefined;
    },
  };
}

/** A share, from 0 to 1. */
export const ratio: Kind<number> = {
  allowed: "a number from 0 to 1",
  json: {
    anyOf: [
      { type: "number", minimum: 0, maximum: 1 },
      { type: "string", pattern: "^\\s*\\d+(\\.\\d+)?\\s*$" },
    ],
  },
  parse: (value) => {
    const number = numberOf(value);
    return number !== undefined && number >= 0 && number <= 1 ? number : undefined;
  },
};

const addressPattern = "^(\\[[0-9A-Fa-f:.]+\\]|[^\\s:\\[\\]/]+):\\d{1,5}$";

/** Where to listen. */
export const address: Kind<Address> = {
  allowed: 'HOST:PORT, such as "127.0.0.1:7070", "[::1]:7070" or "0.0.0.0:7070"',
  json: { type: "string", pattern: addressPattern },
  parse: (value) => {
    const match =
      typeof value === "string" ? /^(?:\[([\da-f:.]+)\]|([^\s:[\]/]+)):(\d{1,5})$/i.exec(value) : null;
    if (match === null) return undefined;
    const [, ipv6, host, port] = match;
    const number = Number(port);
    return number <= 65_535 ? { host: ipv6 ?? host ?? "", port: number } : undefined;
  },
};

/** Where to listen, or `false` for not at all. */
export const addressOrFalse: Kind<Address | false> = {
  allowed: `${address.allowed}, or false`,
  json: { anyOf: [{ type: "string", pattern: addressPattern }, { enum: [false, "false"] }] },
  parse: (value) => (value === false || value === "false" ? false : address.parse(value)),
};

/** Text that is not empty. */
export function text(allowed: string): Kind<string> {
  return {
    allowed,
    json: { type: "string", pattern: "\\S" },
    parse: (value) => (typeof value === "string" && value.trim() !== "" ? value : undefined),
  };
}

/** A mapping with keys of any name. */
export const anyMapping: Kind<object> = {
  allowed: "a mapping of keys to values",
  json: { type: "object" },
  parse: (value) =>
    typeof value === "object" && value !== null && !Array.isArray(value) ? value : undefined,
};

/** Any text. */
export const anyText: Kind<string> = {
  allowed: "text",
  json: { type: "string" },
  parse: (value) => (typeof value === "string" ? value : undefined),
};

/** Text of a certain form. */
export function pattern(regExp: RegExp, allowed: string): Kind<string> {
  return {
    allowed,
    json: { type: "string", pattern: regExp.source },
    parse: (value) => (typeof value === "string" && regExp.test(value) ? value : undefined),
  };
}

/** An http or https URL. */
export const url: Kind<string> = {
  allowed: 'a URL such as "http://127.0.0.1:4317"',
  json: { type: "string", pattern: "^[Hh][Tt][Tt][Pp][Ss]?:" },
  parse: (value) =>
    typeof value === "string" && /^https?:$/.test(URL.parse(value)?.protocol ?? "") ? value : undefined,
};

/** One of a few words. */
export function oneOf<T extends string>(words: readonly T[]): Kind<T> {
  return {
    allowed: `one of ${words.join(", ")}`,
    json: { enum: [...words] },
    parse: (value) => words.find((word) => word === value),
  };
}

/** A number, or text that is one in decimal digits. */
function numberOf(value: unknown): number | undefined {
  if (typeof value === "number") return value;
  return typeof value === "string" && /^\d+(\.\d+)?$/.test(value.trim()) ? Number(value) : undefined;
}

function withUnit(value: unknown, factors: Readonly<Record<string, number>>): number | undefined {
  const match = typeof value === "string" ? /^(\d+(?:\.\d+)?) ?([a-z]+)$/i.exec(value.trim()) : null;
  const factor = factors[match?.[2]?.toLowerCase() ?? ""];
  return factor === undefined ? undefined : Number(match?.[1]) * factor;
}

function wholeNumber(value: number | undefined, min: number): number | undefined {
  return value !== undefined && Number.isSafeInteger(value) && value >= min ? value : undefined;
}

/** `true` or `false`. */
export const yesOrNo: Kind<boolean> = {
  allowed: "true or false",
  json: { type: "boolean" },
  parse: (value) => (typeof value === "boolean" ? value : undefined),
};

/** `true` or `false`, as text as well. */
export const toggle: Kind<boolean> = {
  allowed: yesOrNo.allowed,
  json: { enum: [true, false, "true", "false"] },
  parse: (value) => (value === "true" ? true : value === "false" ? false : yesOrNo.parse(value)),
};

/** Names of hosts, with commas between them. */
export const hostNames: Kind<readonly string[]> = {
  allowed: 'names of hosts with commas between them, such as "leat.example.com,leat"',
  json: { type: "string", pattern: "^\\s*[A-Za-z0-9.-]+\\s*(,\\s*[A-Za-z0-9.-]+\\s*)*$" },
  parse: (value) => {
    if (typeof value !== "string") return undefined;
    const names = value.split(",").map((name) => name.trim());
    return names.every((name) => /^[A-Za-z0-9.-]{1,253}$/.test(name)) ? names : undefined;
  },
};

/** A number of at least so much. */
export function numberFrom(min: number): Kind<number> {
  return {
    allowed: `a number of at least ${min}`,
    json: { type: "number", minimum: min },
    parse: (value) =>
      typeof value === "number" && value >= min && Number.isFinite(value) ? value : undefined,
  };
}

/** Whether a key of this name is a size in bytes, of one thing or of all per something. */
export function isSize(name: string): boolean {
  return /Bytes(?:Per[A-Z]\w*)?$/.test(name);
}

/** A size as the file may have it: `64MiB`. */
export function shortSize(bytes: number): string {
  if (bytes % 1024 !== 0) return String(bytes);
  return bytes % 1024 ** 2 === 0 ? `${bytes / 1024 ** 2}MiB` : `${bytes / 1024}KiB`;
}

/** A time as the file may have it: `5s`. */
export function shortTime(ms: number): string {
  return ms % 1_000 === 0 ? `${ms / 1_000}s` : `${ms}ms`;
}
