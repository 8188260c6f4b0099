import { t } from '@lingui/core/macro';
import { Anchor, Card, Group, Text } from '@mantine/core';
import { useQuery } from '@tanstack/react-query';
import { Link } from 'react-router';
import { deleteManager } from '../../../api/actions';
import { useAllowed } from '../../../api/auth';
import { agentsQuery, managerQuery } from '../../../api/queries';
import type { Manager } from '../../../api/types';
import { useItem } from '../../../components/address';
import { Confirm } from '../../../components/Confirm';
import { DetailsPage, type Tab } from '../../../components/DetailsPage';
import { Facts } from '../../../components/Facts';
import { ShortId } from '../../../components/ShortId';
import { StatusBadge } from '../../../components/StatusBadge';
import { absolute, TimeAgo } from '../../../components/TimeAgo';
import { WhyButton } from '../../../why/WhyButton';
import { LogsTable } from '../diagnostics/LogsTable';
import { RequestsTable } from '../diagnostics/RequestsTable';
import { LATE_S, Primary, SILENT_S, statusOf } from './Managers';
import { ManagerSwitch } from './ManagerSwitch';

const LIST = '/admin/infrastructure/managers';

/** One Manager: its host, its Agents, its log rows, and its answers to Agents. */
export function ManagerPage() {
  const { managerId = '' } = useItem();
  const manager = useQuery(managerQuery(managerId));
  const allowed = useAllowed();
  const tabs = (data: Manager): Tab[] => [
    { key: 'details', title: t`Details`, content: <Details manager={data} /> },
    ...(allowed('system_view')
      ? [
          { key: 'logs', title: t`Logs`, content: <LogsTable fixed={{ text: data.instance_id }} /> },
          {
            key: 'requests',
            title: t`Requests`,
            content: <RequestsTable fixed={{ manager_instance_id: data.instance_id }} />,
          },
        ]
      : []),
  ];
  return (
    <DetailsPage
      list={{ to: LIST, title: t`Managers` }}
      query={manager}
      title={({ instance_id }) => instance_id}
      note={(data) => {
        const { instance_id: name } = data;
        return (
          <Group gap="sm">
            <StatusBadge status={statusOf(data)} />
            {data.is_primary && <Primary term={data.term} />}
            <WhyButton subject={{ kind: 'manager', id: data.manager_id }} about={t`Manager ${name}`} />
          </Group>
        );
      }}
      actions={(data) => (
        <>
          <ManagerSwitch manager={data} labeled />
          {allowed('managers_delete') && <DeleteManager manager={data} />}
        </>
      )}
      tabs={tabs}
    />
  );
}

function Details({ manager }: { manager: Manager }) {
  const allowed = useAllowed();
  const agents = useQuery({ ...agentsQuery, enabled: allowed('agents_view') });
  const mine = agents.data?.filter(({ manager_id }) => manager_id === manager.manager_id);
  return (
    <Card withBorder className="surface" p="md" maw={900}>
      <Facts
        facts={[
          [t`Instance ID`, <ShortId key="id" id={manager.instance_id} />],
          [t`Status`, manager.status_reason],
          [t`Zone`, manager.zone_name],
          [t`Changes of the Primary so far`, manager.term],
          [t`Hostname`, manager.hostname],
          [t`Version`, manager.version],
          [t`Gateway URL`, manager.gateway_url || t`none: no Agent can reach this Manager`],
          [t`First reported`, absolute(manager.first_reported)],
          [
            t`Last reported`,
            <TimeAgo key="last" time={manager.last_reported} warnAfter={LATE_S} alarmAfter={SILENT_S} />,
          ],
          [t`Agents of this Manager`, mine && (mine.length > 0 ? <Agents agents={mine} /> : t`none`)],
        ]}
      />
    </Card>
  );
}

function Agents({ agents }: { agents: { agent_id: string; hostname: string }[] }) {
  return (
    <Group gap="sm">
      {agents.map(({ agent_id, hostname }) => (
        <Anchor key={agent_id} component={Link} to={`/admin/infrastructure/agents/${agent_id}`} size="sm">
          {hostname}{' '}
          <Text span size="xs" c="dimmed">
            {agent_id.slice(0, 8)}
          </Text>
        </Anchor>
      ))}
    </Group>
  );
}

function DeleteManager({ manager }: { manager: Manager }) {
  const comesBack = manager.status === 'running';
  const { instance_id: name } = manager;
  return (
    <Confirm
      title={t`Delete Manager ${name}?`}
      action={t`Delete`}
      onConfirm={() => deleteManager(manager.manager_id, comesBack)}
      to={LIST}
      touched={['managers', 'zones']}
      trigger={t`Delete`}
    >
      {comesBack
        ? t`This Manager is running. It registers again within seconds as a new, enabled Manager, and the data of its record is lost. To take it out of service, disable it instead.`
        : t`The record of this Manager is removed. If the Manager is started again, it registers as a new, enabled Manager.`}
    </Confirm>
  );
}
