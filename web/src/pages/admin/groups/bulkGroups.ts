import { plural, t } from '@lingui/core/macro';
import { IconTrash } from '@tabler/icons-react';
import { deleteGroup } from '../../../api/actions';
import { useAllowed } from '../../../api/auth';
import type { Group } from '../../../api/types';
import type { Bulk } from '../../../components/bulk';

/** The lists that the deletion of a group changes. */
export const TOUCHED = ['groups', 'users'];

/** The consequence of the deletion of a group. */
export function lossOf({ num_users, ...group }: Group): string {
  const workspaces = group.images.length;
  const permissions = group.permissions.length;
  const settings = Object.keys(group.settings).length;
  return t`${plural(num_users, { one: '# user loses', other: '# users lose' })} ${plural(workspaces, { one: '# workspace', other: '# workspaces' })}, ${plural(permissions, { one: '# permission', other: '# permissions' })} and ${plural(settings, { one: '# setting', other: '# settings' })} of this group.`;
}

const DELETION: Bulk<Group> = {
  noun: 'group',
  nameOf: ({ name }) => name,
  touched: TOUCHED,
  actions: [
    {
      label: t`Delete`,
      icon: IconTrash,
      effect: lossOf,
      refusal: ({ is_system }) => (is_system ? t`It is a system group, which cannot be deleted.` : null),
      run: ({ group_id: id }) => deleteGroup(id),
      isDangerous: true,
    },
  ],
};

/** The deletion of several groups, if the user may delete groups. */
export function useBulkGroups(): Bulk<Group> | undefined {
  return useAllowed()('groups_delete') ? DELETION : undefined;
}
