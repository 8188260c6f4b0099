import { expect, test } from 'vitest';
import { nearest } from '../src/stage/keys';
import { crownOn, dotAt, layOut, type Rect, type Scene, sizesFor } from '../src/stage/layout';
import { seated, zonesOf } from '../src/stage/model';
import { agent, crowd, manager, pool, session, stage } from './stage';

function sceneOf(map = stage(), width = 1200, isCompact = false): Scene {
  const zones = zonesOf(map);
  return layOut(zones, seated(new Map(), zones), width, sizesFor(zones, isCompact));
}

function overlap(a: Rect, b: Rect): boolean {
  return a.x < b.x + b.width && b.x < a.x + a.width && a.y < b.y + b.height && b.y < a.y + a.height;
}

test.each([
  [1200, 3, 8],
  [1200, 200, 2000],
  [328, 12, 90],
  [2400, 60, 300],
])('no part covers another one, and none leaves the page of %i px with %i Agents', (width, agents, sessions) => {
  const scene = sceneOf(crowd(agents, sessions), width);
  const rects = [...scene.rects];
  expect(rects).toHaveLength(2 + agents + 1);
  expect(scene.dots).toHaveLength(sessions);
  for (const [key, rect] of rects) {
    expect(rect.x >= 0 && rect.x + rect.width <= width && rect.y + rect.height <= scene.height, key).toBe(true);
    for (const [other, its] of rects) if (other !== key) expect(overlap(rect, its), `${key} ${other}`).toBe(false);
  }
});

test('each dot lies within its place, below its heading, on a seat of its own', () => {
  const scene = sceneOf(crowd(20, 400));
  const seats = new Set<string>();
  for (const { place, x, y } of scene.dots) {
    const rect = scene.rects.get(place);
    expect(rect && x > rect.x && x < rect.x + rect.width && y > rect.y + 20 && y < rect.y + rect.height).toBe(true);
    seats.add(`${x} ${y}`);
  }
  expect(seats.size).toBe(400);
});

test('the pools are beside the Agents of a wide page, and below them on a narrow one', () => {
  const map = crowd(4, 20);
  const [wide, narrow] = [sceneOf(map, 1200), sceneOf(map, 360)];
  const places = (scene: Scene) => ['agent:a0', 'pool:p0'].map((key) => scene.rects.get(key));
  const [beside, door] = places(wide);
  expect(door && beside && door.x > beside.x + beside.width).toBe(true);
  const [above, below] = places(narrow);
  expect(below && above && below.y > above.y + above.height && below.x === 0).toBe(true);
});

test('a row of Agents is as high as the one with the most sessions', () => {
  const sessions = Array.from({ length: 40 }, (_, index) => session(`s${index}`));
  const scene = sceneOf(stage({ agents: [agent('a0'), agent('a1')], sessions }));
  const [full, empty] = ['agent:a0', 'agent:a1'].map((key) => scene.rects.get(key));
  expect(full?.height).toBe(empty?.height);
  expect(full?.height).toBeGreaterThan(scene.sizes.agentHead + 2 * scene.sizes.pitch);
});

test('many Agents are small, without the numbers of their load', () => {
  const [few, many] = [24, 25].map((agents) => sizesFor(zonesOf(crowd(agents, 1)), false));
  expect([few?.hasNumbers, many?.hasNumbers]).toEqual([true, false]);
});

test('zones are below each other, also without Agents', () => {
  const zones = ['z0', 'z1'].map((id) => ({ zone_id: id, zone_name: id }));
  const scene = sceneOf(stage({ zones, managers: [manager('m0')] }));
  const [first, second] = scene.zones;
  expect(first?.note).not.toBeNull();
  expect(second && first && second.y >= first.y + first.height).toBe(true);
  expect(scene.height).toBe((second?.y ?? 0) + (second?.height ?? 0));
});

test('one Manager has room for its whole name, and many share the width', () => {
  const widths = [1, 2, 12].map((count) => {
    const managers = Array.from({ length: count }, (_, index) => manager(`m${index}`));
    return sceneOf(stage({ managers })).rects.get('manager:m0')?.width;
  });
  expect(widths).toEqual([427, 427, 291]);
});

test('the crown is on the Manager', () => {
  const rect = { x: 10, y: 20, width: 244, height: 40 };
  expect(crownOn(rect)).toEqual({ x: 19, y: 31 });
});

test('a point belongs to the dot within half the distance of dots', () => {
  const scene = sceneOf(stage({ agents: [agent('a0')], sessions: [session('s0'), session('s1')] }));
  const dot = scene.dots[1];
  if (!dot) throw new Error('There is no second dot.');
  expect(dotAt(scene, { x: dot.x + 6, y: dot.y - 6 })?.session.session_id).toBe('s1');
  expect(dotAt(scene, { x: dot.x + 30, y: dot.y })).toBeNull();
});

test('a pool with a reason has room for it', () => {
  const shortfall = { code: 'no-capacity', reason: 'x', needs_action: true };
  const scene = sceneOf(
    stage({ pools: [pool('p0'), pool('p1', { shortfall }), pool('p2', { refill_problem: shortfall })] }),
  );
  const [full, ...others] = ['pool:p0', 'pool:p1', 'pool:p2'].map((key) => scene.rects.get(key)?.height ?? 0);
  expect(others.map((height) => height - (full ?? 0))).toEqual([scene.sizes.reasonHeight, scene.sizes.reasonHeight]);
});

test('arrows lead to the nearest part in their direction', () => {
  const { rects } = sceneOf(crowd(8, 10));
  const walk = (key: string, ...directions: ('left' | 'right' | 'up' | 'down')[]) =>
    directions.reduce<string | null>((at, direction) => {
      const from = at === null ? undefined : rects.get(at);
      return from ? nearest(from, rects, direction) : null;
    }, key);
  expect(walk('manager:m0', 'right')).toBe('manager:m1');
  expect(walk('manager:m0', 'down')).toBe('agent:a0');
  expect(walk('agent:a0', 'right', 'left')).toBe('agent:a0');
  expect(walk('agent:a0', 'right', 'right', 'right', 'right')).toBe('pool:p0');
  expect(walk('agent:a0', 'left')).toBeNull();
  expect(walk('agent:a1', 'up')).toMatch(/^manager:/);
});

test('every part can be reached with arrows', () => {
  const { rects } = sceneOf(crowd(30, 300));
  const reached = new Set(['manager:m0']);
  for (const key of reached)
    for (const direction of ['left', 'right', 'up', 'down'] as const) {
      const from = rects.get(key);
      const next = from && nearest(from, rects, direction);
      if (next) reached.add(next);
    }
  expect(reached.size).toBe(rects.size);
});
