import { matchPath } from 'react-router';
import { expect, test } from 'vitest';
import { frameOf, PLACES, placesIn, type Section, sectionAt, SECTIONS } from '../src/places';

/** Every address that the console had before it had seven places, in guides, bookmarks and messages. */
const OLD = `
  / /session/s1 /join/s1 /second-screen /watch/l1 /account /recordings /recordings/l1 /secrets
  /admin /admin/sessions /admin/sessions/s1 /admin/recordings /admin/recordings/l1 /admin/session-videos
  /admin/session-videos/s1 /admin/staging /admin/staging/c1 /admin/workspaces /admin/workspaces/new /admin/workspaces/i1
  /admin/homes /admin/catalogue /admin/users /admin/users/u1 /admin/groups /admin/groups/g1 /admin/sign-on
  /admin/directories /admin/provisioning /admin/web-filter /admin/service-accounts /admin/api-keys /admin/secrets
  /admin/infrastructure/zones /admin/infrastructure/managers /admin/infrastructure/managers/m1
  /admin/infrastructure/agents /admin/infrastructure/agents/a1 /admin/infrastructure/machines
  /admin/infrastructure/gateways /admin/diagnostics/logs /admin/diagnostics/launches /admin/launches
  /admin/diagnostics/manager-requests /admin/diagnostics/audit /admin/settings /admin/webhooks /admin/webhooks/w1
`
  .split(/\s+/)
  .filter(Boolean);

test.each(OLD)('the former address %s leads to a page', (address) => {
  const paths = PLACES.flatMap(({ path, also = [] }) => [path, ...also]);
  expect(paths.filter((path) => matchPath(path, address))).not.toEqual([]);
});

test('the navigation has seven places', () => {
  expect(Object.keys(SECTIONS)).toEqual([
    'Today',
    'Sessions',
    'Staging',
    'Workspaces',
    'People',
    'Infrastructure',
    'Diagnostics',
  ]);
});

test('each page of the administration belongs to the place whose tab it is, or whose list it follows', () => {
  const lost = PLACES.filter((place) => frameOf(place) === 'admin' && !sectionAt(place.path));
  expect(lost).toEqual([]);
  for (const section of Object.keys(SECTIONS) as Section[])
    for (const { path } of placesIn(section)) expect(sectionAt(path)).toBe(section);
});
