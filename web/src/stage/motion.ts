/** The movement of dots from one scene to the next. */

import type { Dot, Point } from './layout';
import { isStaged, type Looks, OTHER, type Shape, shapeOf } from './looks';

/** The duration of a movement: long enough to be seen across the map. */
export const MOVE_MS = 480;

/** A dot as it is drawn. `scale` is 1 for the full size. */
export interface Drawn extends Point {
  scale: number;
  color: number;
  shape: Shape;
  isHollow: boolean;
  isFaded: boolean;
}

export type Drawing = ReadonlyMap<string, Drawn>;

/** The dots of a scene at rest. With `only`, the dots of other workspaces are faded. */
export function drawingOf(dots: Dot[], looks: Looks, only: string | null): Drawing {
  return new Map(
    dots.map(({ session, x, y }) => [
      session.session_id,
      {
        x,
        y,
        scale: 1,
        color: looks.get(session.image_id) ?? OTHER,
        shape: shapeOf(session),
        isHollow: isStaged(session),
        isFaded: only !== null && session.image_id !== only,
      },
    ]),
  );
}

/** A change from one drawing to the next: the dots that stay, and those that move, look different, appear or disappear. */
export interface Change {
  still: Drawing;
  before: Drawing;
  after: Drawing;
}

/** Separates the dots that stay as they are, so that only the others are drawn again. */
export function changeOf(before: Drawing, after: Drawing): Change {
  const still = new Map([...after].filter(([id, dot]) => isSame(before.get(id), dot)));
  const others = (drawing: Drawing) => new Map([...drawing].filter(([id]) => !still.has(id)));
  return { still, before: others(before), after: others(after) };
}

/** Whether dots move, appear or disappear, and not only look different. */
export function hasMovement({ before, after }: Change): boolean {
  if (before.size !== after.size) return true;
  return [...after].some(([id, dot]) => {
    const was = before.get(id);
    return was?.x !== dot.x || was.y !== dot.y || was.scale !== 1;
  });
}

function isSame(one: Drawn | undefined, other: Drawn): boolean {
  return (
    one?.x === other.x &&
    one.y === other.y &&
    one.scale === other.scale &&
    one.color === other.color &&
    one.shape === other.shape &&
    one.isHollow === other.isHollow &&
    one.isFaded === other.isFaded
  );
}

/** The drawing at the part `t` of a movement, 0 to 1: dots move to their new seats, new ones grow, and ended ones shrink. */
export function between({ before, after }: Pick<Change, 'before' | 'after'>, t: number): Drawing {
  if (t >= 1) return after;
  const part = eased(Math.max(0, t));
  const drawn = new Map<string, Drawn>();
  for (const [id, dot] of after) {
    const was = before.get(id);
    drawn.set(
      id,
      was
        ? {
            ...dot,
            x: was.x + (dot.x - was.x) * part,
            y: was.y + (dot.y - was.y) * part,
            scale: was.scale + (1 - was.scale) * part,
          }
        : { ...dot, scale: part },
    );
  }
  for (const [id, dot] of before) if (!after.has(id)) drawn.set(id, { ...dot, scale: dot.scale * (1 - part) });
  return drawn;
}

/** Slow at both ends. */
function eased(t: number): number {
  return t * t * (3 - 2 * t);
}
