import { t } from '@lingui/core/macro';
import { Card, Skeleton } from '@mantine/core';
import { useQuery } from '@tanstack/react-query';
import { useAllowed } from '../../../api/auth';
import { addGroupImage, addGroupUser, deleteGroup, removeGroupImage, removeGroupUser } from '../../../api/actions';
import { groupQuery, imagesQuery, usersQuery } from '../../../api/queries';
import type { Group } from '../../../api/types';
import { useItem } from '../../../components/address';
import { Assignments } from '../../../components/Assignments';
import { Confirm } from '../../../components/Confirm';
import { DetailsPage } from '../../../components/DetailsPage';
import { StaleBanner } from '../../../components/feedback';
import { lossOf, TOUCHED } from './bulkGroups';
import { GroupForm } from './GroupForm';
import { GroupPermissions } from './GroupPermissions';
import { GroupRoles } from './GroupRoles';
import { GroupSettings } from './GroupSettings';

const LIST = { to: '/admin/groups', title: t`Groups` };

/** One group: its members, workspaces, permissions, roles and settings. */
export function GroupPage() {
  const { groupId = '' } = useItem();
  const group = useQuery(groupQuery(groupId));
  const allowed = useAllowed();
  const mayChange = (data: Group) => allowed('groups_modify') && (!data.is_system || allowed('groups_modify_system'));
  return (
    <DetailsPage
      list={LIST}
      query={group}
      title={({ name }) => name}
      note={({ description }) => description}
      actions={(data) => allowed('groups_delete') && !data.is_system && <DeleteGroup group={data} />}
      tabs={(data) => [
        {
          key: 'details',
          title: t`Details`,
          content: (
            <Card withBorder className="surface" p="lg" maw={760}>
              <GroupForm group={data} disabled={!mayChange(data)} />
            </Card>
          ),
        },
        ...(allowed('users_view')
          ? [{ key: 'members', title: t`Members`, content: <Members group={data} disabled={!mayChange(data)} /> }]
          : []),
        ...(allowed('images_view')
          ? [{ key: 'workspaces', title: t`Workspaces`, content: <Granted group={data} disabled={!mayChange(data)} /> }]
          : []),
        {
          key: 'permissions',
          title: t`Permissions`,
          content: <GroupPermissions group={data} disabled={!mayChange(data)} />,
        },
        { key: 'roles', title: t`Roles`, content: <GroupRoles group={data} disabled={!mayChange(data)} /> },
        { key: 'settings', title: t`Settings`, content: <GroupSettings group={data} disabled={!mayChange(data)} /> },
      ]}
    />
  );
}

function Members({ group, disabled }: { group: Group; disabled: boolean }) {
  const users = useQuery(usersQuery);
  if (!users.data) return <NotYet error={users.error} />;
  const everybody = users.data.map(({ user_id, username }) => ({
    id: user_id,
    label: username,
    to: `/admin/users/${user_id}`,
  }));
  const members = new Set(
    users.data
      .filter((user) => user.groups.some(({ group_id }) => group_id === group.group_id))
      .map(({ user_id }) => user_id),
  );
  const isForAll = group.is_system && group.name === 'All Users';
  return (
    <Assignments
      caption={t`Members`}
      noun="user"
      assigned={everybody.filter(({ id }) => members.has(id))}
      all={everybody}
      onAdd={(id) => addGroupUser(group.group_id, id)}
      onRemove={isForAll ? undefined : (id) => removeGroupUser(group.group_id, id)}
      touched={['users', 'groups']}
      disabled={disabled || isForAll}
      empty={t`No user is in this group yet. Add a user above.`}
    />
  );
}

function Granted({ group, disabled }: { group: Group; disabled: boolean }) {
  const images = useQuery(imagesQuery);
  if (!images.data) return <NotYet error={images.error} />;
  const all = images.data.map(({ image_id, friendly_name }) => ({
    id: image_id,
    label: friendly_name,
    to: `/admin/workspaces/${image_id}`,
  }));
  return (
    <Assignments
      caption={t`Workspaces`}
      noun="workspace"
      assigned={all.filter(({ id }) => group.images.includes(id))}
      all={all}
      onAdd={(id) => addGroupImage(group.group_id, id)}
      onRemove={(id) => removeGroupImage(group.group_id, id)}
      touched={['groups', 'images']}
      disabled={disabled}
      empty={t`This group has no workspaces. Its members can launch the workspaces of their other groups.`}
    />
  );
}

/** The placeholder of a list that is loading, or the reason why it was refused. */
function NotYet({ error }: { error: Error | null }) {
  return error ? <StaleBanner error={error} hasData={false} /> : <Skeleton h={160} maw={760} />;
}

function DeleteGroup({ group }: { group: Group }) {
  const { name } = group;
  return (
    <Confirm
      title={t`Delete group ${name}?`}
      action={t`Delete`}
      onConfirm={() => deleteGroup(group.group_id)}
      to={LIST.to}
      touched={TOUCHED}
      trigger={t`Delete Group`}
    >
      {lossOf(group)}
    </Confirm>
  );
}
