/** The looks of dots: the color of the workspace, and the shape of the state. */

import type { StageSession } from '../api/stageMap';

/** The number of workspaces with their own color. */
export const COLORS = 12;

/** The index of the color of further workspaces. */
export const OTHER = COLORS;

/** Workspace → index of its color, from 0 to `OTHER`. */
export type Looks = ReadonlyMap<string, number>;

/**
 * The colors of the workspaces. A workspace keeps its color while the page is open. The workspaces with the most sessions
 * get the free colors.
 */
export function looksOf(before: Looks, sessions: StageSession[]): Looks {
  const counts = new Map<string, number>();
  for (const { image_id } of sessions) counts.set(image_id, (counts.get(image_id) ?? 0) + 1);
  const fresh = [...counts.keys()].filter((id) => !before.has(id));
  if (fresh.length === 0) return before;
  const looks = new Map(before);
  const taken = new Set(before.values());
  const free = Array.from({ length: COLORS }, (_, color) => color).filter((color) => !taken.has(color));
  fresh.sort((a, b) => (counts.get(b) ?? 0) - (counts.get(a) ?? 0) || a.localeCompare(b));
  for (const id of fresh) looks.set(id, free.shift() ?? OTHER);
  return looks;
}

/** The shapes of dots: a disc, a small disc, a bar and a cross. */
export type Shape = 'ready' | 'moving' | 'resting' | 'failed';

const SHAPES: Record<StageSession['status'], Shape> = {
  running: 'ready',
  stopping: 'resting',
  stopped: 'resting',
  pausing: 'resting',
  paused: 'resting',
  failed: 'failed',
  lost: 'failed',
  unreachable: 'failed',
};

/** The shape of a session. Statuses that end by themselves have the small disc. */
export function shapeOf({ status }: StageSession): Shape {
  return SHAPES[status] ?? 'moving';
}

/** Whether a session waits for a user. It is drawn hollow. */
export function isStaged({ username }: StageSession): boolean {
  return username === null;
}
