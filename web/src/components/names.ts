/** The names of objects in sentences of the server. */

import type { SentencePart } from '../api/types';

/**
 * The parts of a sentence, with these names as parts of their own. A name counts as a whole word. The name of a zone needs
 * the word zone before it, because zones have names such as `default`.
 */
export function namedParts(parts: SentencePart[], names: SentencePart[]): SentencePart[] {
  if (names.length === 0) return parts;
  const longest = [...names].sort((one, other) => other.text.length - one.text.length);
  const words = longest.map(({ text, object }) =>
    object?.kind === 'zone' ? `(?<=\\bzone )${escaped(text)}` : escaped(text),
  );
  const pattern = new RegExp(`(?<![\\p{L}\\d_./@-])(?:${words.join('|')})(?![\\p{L}\\d_/@-]|\\.[\\p{L}\\d_])`, 'giu');
  return parts.flatMap((part) => (part.object ? [part] : split(part.text, pattern, names)));
}

function split(text: string, pattern: RegExp, names: SentencePart[]): SentencePart[] {
  const found: SentencePart[] = [];
  let end = 0;
  for (const { 0: name, index } of text.matchAll(pattern)) {
    const named = names.find((each) => each.text === name);
    if (!named) continue;
    if (index > end) found.push({ text: text.slice(end, index), object: null });
    found.push(named);
    end = index + name.length;
  }
  return end < text.length ? [...found, { text: text.slice(end), object: null }] : found;
}

function escaped(text: string): string {
  return text.replace(/[\\^$.*+?()[\]{}|/]/g, '\\$&');
}
