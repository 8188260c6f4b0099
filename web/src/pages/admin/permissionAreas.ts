import { t } from '@lingui/core/macro';
import type { Schemas } from '../../api/types';
import { permissionTitle } from '../../components/titles';

type Permission = Schemas['PermissionView'];

/** The beginning of a code → the area of the permission. The first entry that matches applies. */
const AREAS: [string, string][] = [
  ['global_admin', t`General`],
  ['users_auth_session', t`Sessions`],
  ['leases_', t`Sessions`],
  ['sessions_', t`Sessions`],
  ['recordings_', t`Recordings`],
  ['session_videos_', t`Recordings`],
  ['users_', t`People`],
  ['user', t`General`],
  ['groups_', t`Groups`],
  ['homes_', t`Home Folders`],
  ['images_', t`Workspaces`],
  ['catalogues_', t`Workspaces`],
  ['staging_', t`Staging`],
  ['zones_', t`Infrastructure`],
  ['managers_', t`Infrastructure`],
  ['agents_', t`Infrastructure`],
  ['machines_', t`Infrastructure`],
  ['webfilters_', t`Web Filter`],
  ['secrets_', t`Secrets`],
  ['devapi_', t`API Keys`],
  ['webhooks_', t`Webhooks`],
  ['', t`System`],
];

function areaOf(code: string): string {
  return AREAS.find(([start]) => code.startsWith(start))?.[1] ?? '';
}

/** The permissions by area. The areas have the order of their first permission in the list of the server. */
export function byArea<Each extends Pick<Permission, 'code'>>(permissions: Each[]): [string, Each[]][] {
  const areas = new Map<string, Each[]>();
  for (const each of permissions) {
    const area = areaOf(each.code);
    areas.set(area, [...(areas.get(area) ?? []), each]);
  }
  return [...areas];
}

/** Whether all words of a search are in the area, the description or the code of a permission. */
export function isPermissionFound({ code, description }: Permission, search: string): boolean {
  const text = `${areaOf(code)} ${description} ${code}`.toLowerCase();
  return search
    .toLowerCase()
    .split(/\s+/)
    .every((word) => text.includes(word));
}

/** "With an API key of a program": the part of a description after its title. */
export function detailsOf(description: string): string {
  const details = description.slice(permissionTitle(description).length).replace(/^[\s,;:]+/, '');
  return details.charAt(0).toUpperCase() + details.slice(1);
}

/** The titles of permissions as one text. A code of another version is shown as it is. */
export function titlesText(codes: string[], known: Permission[] = []): string {
  const titles = new Map(known.map(({ code, description }) => [code, permissionTitle(description)]));
  return codes.map((code) => titles.get(code) ?? code).join(', ');
}
