/**
 * Makes text from a module fit to print: control characters, which could rewrite a terminal's
 * lines or forge a log's, become `\u{…}`.
 */
export function printable(text: string): string {
  return text.replace(
    /[\p{Cc}\p{Zl}\p{Zp}\p{Bidi_Control}]/gu,
    (character) => `\\u{${character.codePointAt(0)?.toString(16)}}`,
  );
}
