/** The geometry of the stage map: from the zones and the width of the page to rectangles and the centers of dots. */

import type { StageSession } from '../api/stageMap';
import { placesOf, type PoolPart, type Seats, type ZonePart } from './model';

export interface Point {
  x: number;
  y: number;
}

export interface Rect extends Point {
  width: number;
  height: number;
}

/** Sizes in pixels. `pitch` is the distance of dots, `head` the height above the dots. */
export interface Sizes {
  pitch: number;
  radius: number;
  gap: number;
  pad: number;
  zoneHead: number;
  zoneGap: number;
  managerWidth: number;
  managerHeight: number;
  agentWidth: number;
  agentHead: number;
  doorWidth: number;
  doorHead: number;
  poolHead: number;
  reasonHeight: number;
  noteHeight: number;
  /** Whether Agents have room for the numbers of their load. */
  hasNumbers: boolean;
}

const LARGE: Sizes = {
  pitch: 16,
  radius: 6,
  gap: 12,
  pad: 10,
  zoneHead: 36,
  zoneGap: 24,
  managerWidth: 244,
  managerHeight: 40,
  agentWidth: 216,
  agentHead: 72,
  doorWidth: 248,
  doorHead: 24,
  poolHead: 22,
  reasonHeight: 18,
  noteHeight: 24,
  hasNumbers: true,
};

/** For many Agents: without the numbers of their load. */
const DENSE: Sizes = {
  ...LARGE,
  pitch: 12,
  radius: 4.5,
  gap: 8,
  pad: 8,
  agentWidth: 132,
  agentHead: 46,
  hasNumbers: false,
};

/** For a part of a page. */
const COMPACT: Sizes = { ...DENSE, zoneHead: 28, zoneGap: 12, managerWidth: 190, managerHeight: 32, doorWidth: 208 };

/** The number of Agents up to which each has the numbers of its load. */
export const MOST_LARGE = 24;
/** The width from which the stage door is beside the Agents. */
export const DOOR_BESIDE_PX = 720;

export function sizesFor(zones: ZonePart[], isCompact: boolean): Sizes {
  if (isCompact) return COMPACT;
  return zones.reduce((sum, { agents }) => sum + agents.length, 0) > MOST_LARGE ? DENSE : LARGE;
}

/** A session on the map. `place` is the key of its Agent or pool. */
export interface Dot extends Point {
  session: StageSession;
  place: string;
}

/** A zone from its heading to its end. `note` is the place of a sentence instead of Agents. */
export interface ZoneBox extends Rect {
  part: ZonePart;
  door: Rect | null;
  note: Point | null;
}

export interface Scene {
  width: number;
  height: number;
  sizes: Sizes;
  zones: ZoneBox[];
  /** The rectangles of Managers, Agents and pools by their keys, in reading order. */
  rects: Map<string, Rect>;
  dots: Dot[];
}

/** The size of the crown, and its distance from the left edge of its Manager. */
export const CROWN_PX = 18;
const CROWN_X = 9;

/** The place of the crown on a Manager. */
export function crownOn({ x, y, height }: Rect): Point {
  return { x: x + CROWN_X, y: y + (height - CROWN_PX) / 2 };
}

/** Places all parts of the stage in a page of this width. */
export function layOut(zones: ZonePart[], seats: Seats, width: number, sizes: Sizes): Scene {
  const scene: Scene = { width, height: 0, sizes, zones: [], rects: new Map(), dots: [] };
  let y = 0;
  for (const part of zones) {
    const box = placeZone(part, seats, scene, y);
    scene.zones.push(box);
    y = box.y + box.height + sizes.zoneGap;
  }
  scene.height = Math.max(0, y - sizes.zoneGap);
  const sessions = new Map(
    [...placesOf(zones)].flatMap(([, list]) => list.map((session) => [session.session_id, session] as const)),
  );
  for (const { agents, pools, looseKey } of zones)
    for (const key of [...agents.map((agent) => agent.key), looseKey, ...pools.map((pool) => pool.key)])
      placeDots(key, seats, sessions, scene);
  return scene;
}

function placeZone(part: ZonePart, seats: Seats, scene: Scene, top: number): ZoneBox {
  const { sizes, width, rects } = scene;
  const { gap } = sizes;
  const hasDoor = part.pools.length > 0;
  const isBeside = hasDoor && width >= DOOR_BESIDE_PX;
  const stageWidth = isBeside ? width - sizes.doorWidth - 2 * gap : width;
  let y = top + sizes.zoneHead;
  const managers = grid(
    part.managers.map(() => sizes.managerHeight),
    { x: 0, y, width: stageWidth, ...managerWidths(part.managers.length, stageWidth, sizes), gap },
  );
  part.managers.forEach(({ key }, index) => rects.set(key, at(managers.rects, index)));
  y = managers.bottom + (part.managers.length > 0 ? gap : 0);
  const homes = [...part.agents.map(({ key }) => key), ...(part.loose.length > 0 ? [part.looseKey] : [])];
  const columns = columnsIn(stageWidth, sizes.agentWidth, gap);
  const boxWidth = columnWidth(stageWidth, columns, gap, sizes.agentWidth);
  const agents = grid(
    homes.map((key) => sizes.agentHead + dotRows(seats.get(key)?.length ?? 0, boxWidth, sizes, 1) + sizes.pad),
    { x: 0, y, width: stageWidth, least: sizes.agentWidth, most: 2 * sizes.agentWidth, gap },
  );
  homes.forEach((key, index) => rects.set(key, at(agents.rects, index)));
  const note = homes.length > 0 ? null : { x: 0, y };
  y = note ? y + sizes.noteHeight : agents.bottom;
  const door = hasDoor
    ? placeDoor(part.pools, seats, scene, {
        x: isBeside ? width - sizes.doorWidth : 0,
        y: isBeside ? top + sizes.zoneHead : y + gap,
        width: isBeside ? sizes.doorWidth : width,
        height: 0,
      })
    : null;
  const bottom = Math.max(y, door ? door.y + door.height : 0);
  return { part, x: 0, y: top, width, height: bottom - top, door, note };
}

/** The pools below each other. */
function placeDoor(pools: PoolPart[], seats: Seats, { sizes, rects }: Scene, door: Rect): Rect {
  let y = door.y + sizes.doorHead;
  for (const { key, pool } of pools) {
    const dots = dotRows(seats.get(key)?.length ?? 0, door.width, sizes, 0);
    const height =
      sizes.poolHead + dots + (pool?.shortfall || pool?.refill_problem ? sizes.reasonHeight : 0) + sizes.pad;
    rects.set(key, { x: door.x, y, width: door.width, height });
    y += height;
  }
  return { ...door, height: y - door.y };
}

interface GridSpec {
  x: number;
  y: number;
  width: number;
  /** The smallest and the largest width of a cell. */
  least: number;
  most: number;
  gap: number;
}

/** Cells of equal width in rows; each row is as high as its highest cell. */
function grid(heights: number[], { x, y, width, least, most, gap }: GridSpec): { rects: Rect[]; bottom: number } {
  const columns = columnsIn(width, least, gap);
  const cell = Math.min(most, columnWidth(width, columns, gap, least));
  const rects: Rect[] = [];
  let top = y;
  for (let first = 0; first < heights.length; first += columns) {
    const row = heights.slice(first, first + columns);
    const height = Math.max(...row);
    row.forEach((_, index) => rects.push({ x: x + index * (cell + gap), y: top, width: cell, height }));
    top += height + gap;
  }
  return { rects, bottom: heights.length > 0 ? top - gap : y };
}

/** Few Managers have room for their whole names. */
function managerWidths(count: number, width: number, { gap, managerWidth: least }: Sizes) {
  const most = 1.75 * least;
  return { least: Math.max(least, Math.min(most, Math.floor((width - gap * (count - 1)) / count))), most };
}

function columnsIn(width: number, least: number, gap: number): number {
  return Math.max(1, Math.floor((width + gap) / (least + gap)));
}

/** The width of a cell, which is never wider than twice the least width. */
function columnWidth(width: number, columns: number, gap: number, least: number): number {
  return Math.min(2 * least, Math.floor((width - gap * (columns - 1)) / columns));
}

function seatsInRow(width: number, { pitch, pad }: Sizes): number {
  return Math.max(1, Math.floor((width - 2 * pad) / pitch));
}

function dotRows(seats: number, width: number, sizes: Sizes, least: number): number {
  return Math.max(least, Math.ceil(seats / seatsInRow(width, sizes))) * sizes.pitch;
}

function placeDots(key: string, seats: Seats, sessions: Map<string, StageSession>, { sizes, rects, dots }: Scene) {
  const rect = rects.get(key);
  if (!rect) return;
  const { pitch, pad } = sizes;
  const isPool = !key.startsWith('agent:') && !key.startsWith('loose:');
  const top = rect.y + (isPool ? sizes.poolHead : sizes.agentHead);
  const left = rect.x + (isPool ? 0 : pad);
  const perRow = seatsInRow(rect.width, sizes);
  (seats.get(key) ?? []).forEach((id, seat) => {
    const session = id === null ? undefined : sessions.get(id);
    if (!session) return;
    const x = left + (seat % perRow) * pitch + pitch / 2;
    dots.push({ session, place: key, x, y: top + Math.floor(seat / perRow) * pitch + pitch / 2 });
  });
}

/** The dot at a point, within its pitch. */
export function dotAt({ dots, sizes }: Pick<Scene, 'dots' | 'sizes'>, { x, y }: Point): Dot | null {
  const reach = sizes.pitch / 2;
  return dots.find((dot) => Math.abs(dot.x - x) <= reach && Math.abs(dot.y - y) <= reach) ?? null;
}

function at(rects: Rect[], index: number): Rect {
  const rect = rects[index];
  if (!rect) throw new Error(`There is no cell ${index}.`);
  return rect;
}
