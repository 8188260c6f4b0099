import type { RoleOfGroup } from '../../../api/types';

/** The scope of a role: the ids of its zones or groups; null = the whole installation. */
export function scopeOf({ zones, groups }: RoleOfGroup): string[] | null {
  return zones ?? groups ?? null;
}

/** The role with the scope of these zones or groups; null = the whole installation. */
export function withScope(role: RoleOfGroup['role'], kind: 'zone' | 'group', ids: string[] | null): RoleOfGroup {
  if (ids === null) return { role };
  return kind === 'zone' ? { role, zones: ids } : { role, groups: ids };
}
