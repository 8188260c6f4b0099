import { shortId } from '../../../components/format';

const UUID = /\b([0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12})\b/g;

/** A message with the first letters of its ids only. */
export function withShortIds(message: string): string {
  return message.replace(UUID, shortId);
}

/** A message in parts: texts and ids alternate, and a text is first. */
export function partsWithIds(message: string): string[] {
  return message.split(UUID);
}
