import { expect, test } from 'vitest';
import { agentText, poolText, primaryChanges, rowsOf, sessionText, zoneFacts } from '../src/stage/facts';
import { layOut, sizesFor } from '../src/stage/layout';
import { COLORS, isStaged, looksOf, OTHER, shapeOf } from '../src/stage/looks';
import { seated, zonesOf } from '../src/stage/model';
import { between, changeOf, drawingOf, hasMovement } from '../src/stage/motion';
import { agent, crowd, manager, pool, session, stage } from './stage';

const DRAINING = { draining: true, closed: { code: 'draining', reason: 'it is draining' } } as const;
const MISSING = { status: 'missing', closed: { code: 'status', reason: 'it is missing' } } as const;

const staged = (id: string, facts = {}) => session(id, { username: null, staging_config_id: 'p0', ...facts });

/** The only zone. */
function zoneOf(map: ReturnType<typeof stage>, mostAgents?: number) {
  const [zone] = zonesOf(map, mostAgents);
  if (!zone) throw new Error('There is no zone.');
  return zone;
}

test('sessions of users are on their Agent, and staged ones in their pool', () => {
  const map = stage({ agents: [agent('a0')], pools: [pool('p0')], sessions: [session('s0'), staged('s1')] });
  const { agents, pools } = zoneOf(map);
  expect(agents.map(({ sessions, staged: number }) => [sessions.length, number])).toEqual([[1, 1]]);
  expect(pools.map(({ sessions }) => sessions.map(({ session_id }) => session_id))).toEqual([['s1']]);
});

test('without the Agents and pools, sessions are in their zone, and staged ones below their workspace', () => {
  const { loose, pools } = zoneOf(stage({ agents: null, pools: null, sessions: [session('s0'), staged('s1')] }));
  expect(loose).toHaveLength(1);
  expect(pools.map(({ name, pool: config }) => [name, config])).toEqual([['Desktop', null]]);
});

test('a limited map keeps the Agents that get no new sessions', () => {
  const agents = [agent('a0'), agent('a1', DRAINING), agent('a2', MISSING)];
  const zone = zoneOf(stage({ agents }), 2);
  expect(zone.agents.map(({ key }) => key)).toEqual(['agent:a1', 'agent:a2']);
  expect(zone.hidden.map(({ key }) => key)).toEqual(['agent:a0']);
  expect(zoneFacts(zone)).toEqual(['4.8 of 96 cores reserved', '1 Agent is not shown']);
});

test('a session keeps its seat when another one ends, and a new one gets the free seat', () => {
  const zones = (...ids: string[]) => zonesOf(stage({ agents: [agent('a0')], sessions: ids.map((id) => session(id)) }));
  const before = seated(new Map(), zones('s0', 's1', 's2'));
  const after = seated(before, zones('s1', 's2'));
  expect(after.get('agent:a0')).toEqual([null, 's1', 's2']);
  expect(seated(after, zones('s1', 's2', 's3')).get('agent:a0')).toEqual(['s3', 's1', 's2']);
  expect(seated(after, zones('s1')).get('agent:a0')).toEqual([null, 's1']);
});

test('the twelve workspaces with the most sessions have colors, and keep them', () => {
  const of = (...images: string[]) => images.map((image_id, index) => session(`s${index}`, { image_id }));
  const first = looksOf(new Map(), of('b', 'a', 'b'));
  expect([...first]).toEqual([
    ['b', 0],
    ['a', 1],
  ]);
  const second = looksOf(first, of('a', 'a', 'a', ...Array.from('cdefghijklm')));
  expect([second.get('b'), second.get('a'), second.get('m')]).toEqual([0, 1, OTHER]);
  expect(new Set(second.values()).size).toBe(COLORS + 1);
  expect(looksOf(second, of('a'))).toBe(second);
});

test('a dot has the shape of its state', () => {
  const shapes = ['running', 'starting', 'paused', 'lost'].map((status) => shapeOf(session('s0', { status })));
  expect(shapes).toEqual(['ready', 'moving', 'resting', 'failed']);
  expect([isStaged(staged('s0')), isStaged(session('s0'))]).toEqual([true, false]);
});

function drawn(map: ReturnType<typeof stage>, only: string | null = null) {
  const zones = zonesOf(map);
  const { dots } = layOut(zones, seated(new Map(), zones), 1200, sizesFor(zones, false));
  return drawingOf(dots, new Map(), only);
}

test('a claimed session moves from its pool to its Agent', () => {
  const parts = { agents: [agent('a0')], pools: [pool('p0')] };
  const door = drawn(stage({ ...parts, sessions: [staged('s0')] }));
  const used = drawn(stage({ ...parts, sessions: [session('s0')] }));
  const [from, to] = [door.get('s0'), used.get('s0')];
  const change = changeOf(door, used);
  const half = between(change, 0.5).get('s0');
  expect(half?.x).toBeCloseTo(((from?.x ?? 0) + (to?.x ?? 0)) / 2);
  expect([from?.isHollow, half?.isHollow]).toEqual([true, false]);
  expect(between(change, 1)).toEqual(used);
});

test('new sessions grow, ended ones shrink, and others stay', () => {
  const map = (...ids: string[]) => stage({ agents: [agent('a0')], sessions: ids.map((id) => session(id)) });
  const [before, after] = [drawn(map('s0', 's1')), drawn(map('s0', 's2'))];
  const { still, ...moving } = changeOf(before, after);
  const half = between(moving, 0.5);
  expect([...still.keys()]).toEqual(['s0']);
  expect(['s1', 's2'].map((id) => half.get(id)?.scale)).toEqual([0.5, 0.5]);
});

test('a change without a movement draws all dots once', () => {
  const map = stage({ agents: [agent('a0')], sessions: [session('s0'), session('s1')] });
  const { still, before, after } = changeOf(drawn(map), drawn(map));
  expect([still.size, before.size, after.size]).toEqual([2, 0, 0]);
});

test('a marked workspace fades the others without a movement', () => {
  const sessions = [session('s0'), session('s1', { image_id: 'gimp' })];
  const map = stage({ agents: [agent('a0')], sessions });
  const drawing = drawn(map, 'gimp');
  expect(hasMovement(changeOf(drawn(map), drawing))).toBe(false);
  expect([...drawing.values()].map(({ isFaded }) => isFaded)).toEqual([true, false]);
});

test('an Agent without disk says that it accepts nothing, and why', () => {
  const reason = 'host-a0 has 3 GB of disk free; 5 GB must stay free';
  const zone = zoneOf(stage({ agents: [agent('a0', { closed: { code: 'disk', reason } }), agent('a1')] }), 1);
  expect(zone.agents.map(agentText)).toEqual([
    `Agent host-a0: accepts nothing (disk). 1.6 of 32 cores and 4 GB of 64 GB memory are reserved. 0 sessions of users, 0 staged. H${reason.slice(1)}.`,
  ]);
});

test('parts have their facts as sentences', () => {
  const shortfall = { code: 'no-capacity', reason: 'no Agent has room', needs_action: true };
  const map = stage({
    agents: [agent('a0', DRAINING)],
    pools: [
      pool('p0', { current: 0, desired: 3, shortfall }),
      pool('p1', { paused: true }),
      pool('p2', { current: 3, desired: 3, refill_problem: { ...shortfall, reason: 'the next one cannot start' } }),
    ],
    sessions: [session('s0'), staged('s1')],
  });
  const { agents, pools, ...zone } = zoneOf(map);
  expect(agents.map(agentText)).toEqual([
    'Agent host-a0: draining. 1.6 of 32 cores and 4 GB of 64 GB memory are reserved. 1 session of a user, 1 staged.',
  ]);
  expect(pools.map(poolText)).toEqual([
    'Pool Desktop: 0 of 3 sessions ready. No Agent has room.',
    'Pool Desktop: it is paused.',
    'Pool Desktop: 3 of 3 sessions ready. The next one cannot start.',
  ]);
  expect(sessionText(session('s0'), 'host-a0')).toBe('Session of anna: Desktop, running, on host-a0.');
  expect(sessionText(staged('s1'), null)).toBe('Staged session: Desktop, running.');
  expect(zoneFacts({ ...zone, agents, pools })).toEqual([
    '1.6 of 32 cores reserved',
    '1 session of a user',
    '1 staged',
  ]);
});

test('a change of the Primary is announced', () => {
  const zones = (primary: string | null) =>
    zonesOf(stage({ managers: ['m0', 'm1'].map((id) => manager(id, { is_primary: id === primary })) }));
  expect(primaryChanges(zones('m0'), zones('m1'))).toEqual(['Manager m1 is now Primary of zone default.']);
  expect(primaryChanges(zones('m0'), zones(null))).toEqual(['Zone default has no Primary.']);
  expect(primaryChanges(zones('m0'), zones('m0'))).toEqual([]);
  expect(primaryChanges([], zones('m0'))).toEqual([]);
});

test('the table has a row for each object of the map', () => {
  const rows = rowsOf(zonesOf(crowd(3, 10)));
  expect(rows.map(({ object }) => object)).toEqual([
    ...Array<string>(2).fill('Manager'),
    ...Array<string>(3).fill('Agent'),
    'Pool',
    ...Array<string>(8).fill('Session'),
    ...Array<string>(2).fill('Staged session'),
  ]);
  expect(new Set(rows.map(({ key }) => key)).size).toBe(rows.length);
  const byKey = new Map(rows.map((row) => [row.key, row]));
  expect(byKey.get('manager:m0')?.status).toBe('Primary');
  expect(byKey.get('agent:a0')).toMatchObject({ cores: '1.6 of 32 cores', memory: '4 GB of 64 GB' });
  expect(byKey.get('s1')).toMatchObject({ name: 'anna', agent: 'host-a1', status: 'running', kind: 'session' });
});
