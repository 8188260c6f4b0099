/** The next object in a direction, for the arrow keys. */

import type { Rect } from './layout';

export type Direction = 'left' | 'right' | 'up' | 'down';

export const ARROWS: Record<string, Direction> = {
  ArrowLeft: 'left',
  ArrowRight: 'right',
  ArrowUp: 'up',
  ArrowDown: 'down',
};

/** How much a sideways distance counts, compared with a distance in the direction of the arrow. */
const SIDEWAYS = 3;

/** The key of the nearest rectangle in this direction; null = there is none. */
export function nearest(from: Rect, rects: Iterable<[string, Rect]>, direction: Direction): string | null {
  const isAcross = direction === 'left' || direction === 'right';
  const isForward = direction === 'right' || direction === 'down';
  let best: string | null = null;
  let least = Infinity;
  for (const [key, rect] of rects) {
    const [first, second] = isForward ? [from, rect] : [rect, from];
    const isBeyond = isAcross ? centerX(first) < centerX(second) : centerY(first) < centerY(second);
    const ahead = isAcross ? second.x - (first.x + first.width) : second.y - (first.y + first.height);
    if (!isBeyond || ahead < 0) continue;
    const aside = isAcross
      ? gap(from.y, from.height, rect.y, rect.height)
      : gap(from.x, from.width, rect.x, rect.width);
    const shift = Math.abs(isAcross ? centerY(rect) - centerY(from) : centerX(rect) - centerX(from));
    const distance = ahead + SIDEWAYS * aside + shift / 100;
    if (distance < least) [best, least] = [key, distance];
  }
  return best;
}

function centerX({ x, width }: Rect): number {
  return x + width / 2;
}

function centerY({ y, height }: Rect): number {
  return y + height / 2;
}

/** The distance of two intervals; 0 if they overlap. */
function gap(a: number, aLength: number, b: number, bLength: number): number {
  return Math.max(0, b - (a + aLength), a - (b + bLength));
}
