import { t } from '@lingui/core/macro';
import { Trans } from '@lingui/react/macro';
import { Badge, Card, Group, Text } from '@mantine/core';
import { useQuery } from '@tanstack/react-query';
import { useAllowed, useMe } from '../../../api/auth';
import { userQuery } from '../../../api/queries';
import type { User } from '../../../api/types';
import { useItem } from '../../../components/address';
import { DetailsPage, type Tab } from '../../../components/DetailsPage';
import { HomesTable } from '../../../components/HomesTable';
import { StatusBadge } from '../../../components/StatusBadge';
import { TimeAgo } from '../../../components/TimeAgo';
import { LogsTable } from '../diagnostics/LogsTable';
import { SessionsTable } from '../sessions/SessionsTable';
import { EffectiveSettings } from './EffectiveSettings';
import { LastSession } from './LastSession';
import { stateOf } from './states';
import { UserFactors } from './UserFactors';
import { UserActions } from './UserActions';
import { UserLogIns } from './UserLogIns';
import { Preferences } from './Preferences';
import { UserForm } from './UserForm';

/** One user: account, groups and sessions. */
export function UserPage() {
  const { userId = '' } = useItem();
  const user = useQuery(userQuery(userId));
  const me = useMe();
  const allowed = useAllowed();
  const tabs = (data: User): Tab[] => [
    {
      key: 'details',
      title: t`Details`,
      content: (
        <Card withBorder className="surface" p="lg" maw={760}>
          <UserForm user={data} isSelf={data.user_id === me?.user.user_id} disabled={!allowed('users_modify')} />
        </Card>
      ),
    },
    {
      key: 'preferences',
      title: t`Preferences`,
      content: <Preferences user={data} disabled={!allowed('users_modify')} />,
    },
    { key: 'settings', title: t`Settings`, content: <EffectiveSettings userId={data.user_id} /> },
    { key: 'logins', title: t`Log-ins`, content: <UserLogIns user={data} disabled={!allowed('users_modify')} /> },
    {
      key: 'second-factors',
      title: t`Second factors`,
      content: <UserFactors user={data} disabled={!allowed('users_modify')} />,
    },
    ...(allowed('homes_view')
      ? [{ key: 'homes', title: t`Home Folders`, content: <HomesTable of={{ user_id: data.user_id }} /> }]
      : []),
    ...(allowed('sessions_view')
      ? [{ key: 'sessions', title: t`Sessions`, content: <SessionsTable of={{ user_id: data.user_id }} /> }]
      : []),
    ...(allowed('system_view')
      ? [{ key: 'logs', title: t`Logs`, content: <LogsTable fixed={{ user_id: data.user_id }} /> }]
      : []),
  ];
  return (
    <DetailsPage
      list={{ to: '/admin/users', title: t`Users` }}
      query={user}
      title={({ username }) => username}
      note={(data) => <Note user={data} />}
      actions={(data) => <UserActions user={data} onDeletedTo="/admin/users" />}
      tabs={tabs}
    />
  );
}

function Note({ user }: { user: User }) {
  return (
    <Group gap="sm">
      <StatusBadge status={stateOf(user)} />
      {user.break_glass && (
        <Badge variant="default">
          <Trans>break-glass</Trans>
        </Badge>
      )}
      <Text size="sm" c="dimmed">
        <Trans>
          created <TimeAgo time={user.created} />, last log-in <TimeAgo time={user.last_session} none={t`never`} />,
          last session <LastSession user={user} />
        </Trans>
      </Text>
    </Group>
  );
}
