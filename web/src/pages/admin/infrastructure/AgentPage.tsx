import { t } from '@lingui/core/macro';
import { Trans } from '@lingui/react/macro';
import { Alert, Card, Code, Group, SimpleGrid, Stack, Text } from '@mantine/core';
import { useQuery } from '@tanstack/react-query';
import { IconPackage, IconPlugConnectedX, IconShieldX } from '@tabler/icons-react';
import { useAllowed } from '../../../api/auth';
import { agentQuery, managersQuery } from '../../../api/queries';
import type { Agent } from '../../../api/types';
import { useItem } from '../../../components/address';
import { timeColumn } from '../../../components/columns';
import { DataTable } from '../../../components/DataTable';
import type { Column } from '../../../components/tableState';
import { DetailsPage, type Tab } from '../../../components/DetailsPage';
import { Facts } from '../../../components/Facts';
import { EmptyState } from '../../../components/feedback';
import { bytes, cores, trimmed } from '../../../components/format';
import { Meter } from '../../../components/Meter';
import { PullState } from '../../../components/PullState';
import { ShortId } from '../../../components/ShortId';
import { StatusBadge } from '../../../components/StatusBadge';
import { absolute, TimeAgo } from '../../../components/TimeAgo';
import { textIn } from '../../../components/tones';
import { WhyButton } from '../../../why/WhyButton';
import { LogsTable } from '../diagnostics/LogsTable';
import { RequestsTable } from '../diagnostics/RequestsTable';
import { SessionsTable } from '../sessions/SessionsTable';
import { AgentButtons } from './AgentActions';
import { LATE_S, managerOf, MISSING_S, ReportsTo, statesOf } from './Agents';

/** One Agent: its resources, its Manager, its images, its sessions and its log rows. */
export function AgentPage() {
  const { agentId = '' } = useItem();
  const agent = useQuery(agentQuery(agentId));
  const allowed = useAllowed();
  const tabs = (data: Agent): Tab[] => [
    { key: 'details', title: t`Details`, content: <Details agent={data} /> },
    { key: 'images', title: t`Images`, content: <Images agent={data} /> },
    ...(allowed('sessions_view')
      ? [
          {
            key: 'sessions',
            title: t`Sessions`,
            content: <SessionsTable of={{ agent_id: data.agent_id }} />,
          },
        ]
      : []),
    ...(allowed('system_view')
      ? [
          {
            key: 'logs',
            title: t`Logs`,
            content: <LogsTable fixed={{ text: data.hostname, zone_name: data.zone_name }} />,
          },
          { key: 'requests', title: t`Requests`, content: <RequestsTable fixed={{ agent_id: data.agent_id }} /> },
        ]
      : []),
  ];
  return (
    <DetailsPage
      list={{ to: '/admin/infrastructure/agents', title: t`Docker Agents` }}
      query={agent}
      title={({ hostname }) => hostname}
      note={(data) => {
        const { hostname } = data;
        return (
          <Group gap="sm">
            {statesOf(data).map((state) => (
              <StatusBadge key={state} status={state} />
            ))}
            <WhyButton subject={{ kind: 'agent', id: data.agent_id }} about={t`Agent ${hostname}`} />
          </Group>
        );
      }}
      actions={(data) => <AgentButtons agent={data} />}
      tabs={tabs}
    />
  );
}

function Details({ agent }: { agent: Agent }) {
  const managers = useQuery({ ...managersQuery, enabled: useAllowed()('managers_view') });
  const { hostname } = agent;
  const reason = agent.closed?.reason ?? '';
  return (
    <Stack>
      {(agent.status_reason !== null || agent.closed?.code === 'disk') && (
        <Alert color="yellow" variant="light" role="status" icon={<IconPlugConnectedX aria-hidden />}>
          {agent.status_reason ?? (
            <Trans>
              This Agent accepts no new sessions: {reason}. Free disk space on its host. Running sessions continue.
            </Trans>
          )}
        </Alert>
      )}
      <Refused agent={agent} />
      <SimpleGrid cols={{ base: 1, lg: 2 }}>
        <Card withBorder className="surface" p="md">
          <Facts
            facts={[
              [t`Agent ID`, <ShortId key="id" id={agent.agent_id} />],
              [t`Zone`, agent.zone_name],
              [
                t`Edge gateway (serves the streams of this host)`,
                agent.edge_url || t`none: a web gateway on this host serves the streams`,
              ],
              [
                t`Edge gateway, not confirmed`,
                agent.edge_url_requested === null
                  ? null
                  : agent.edge_url_requested || t({ message: 'none', context: 'edge gateway' }),
              ],
              [t`Registered`, absolute(agent.registered)],
              [
                t`Last reported`,
                <Stack key="last" gap={0}>
                  <TimeAgo time={agent.last_reported} none={t`never`} warnAfter={LATE_S} alarmAfter={MISSING_S} />
                  <ReportsTo agent={agent} manager={managerOf(agent, managers.data)} />
                </Stack>,
              ],
            ]}
          />
        </Card>
        <Card withBorder className="surface" p="md">
          <Facts
            facts={[
              [
                t`Cores reserved`,
                <Meter
                  key="cores"
                  used={agent.cores_allocated}
                  total={agent.cores}
                  format={cores}
                  label={t`Cores reserved on ${hostname}`}
                />,
              ],
              [t`Cores of the host`, coresOf(agent)],
              [t`Cores Override`, agent.cores_override === null ? t`none` : cores(agent.cores_override)],
              [t`Load per core`, agent.cpu_used === null ? null : trimmed(agent.cpu_used)],
              [
                t`Memory reserved`,
                <Meter
                  key="memory"
                  used={agent.memory_allocated}
                  total={agent.memory}
                  format={bytes}
                  label={t`Memory reserved on ${hostname}`}
                />,
              ],
              [t`Memory of the host`, bytes(agent.memory_reported)],
              [t`Memory Override`, agent.memory_override === null ? t`none` : bytes(agent.memory_override)],
              [t`Memory in use`, agent.memory_used === null ? null : bytes(agent.memory_used)],
              [t`Disk free`, agent.disk_free === null ? t`not reported` : bytes(agent.disk_free)],
              [t`Disk that must stay free`, agent.disk_free === null ? null : bytes(agent.disk_kept)],
            ]}
          />
        </Card>
      </SimpleGrid>
    </Stack>
  );
}

/** The notice that Managers refuse the Agent, or that another host used its identity, with the action to take. */
function Refused({ agent }: { agent: Agent }) {
  const { credential_revoked, refused } = agent;
  if (!credential_revoked && !refused) return null;
  return (
    <Alert
      color={credential_revoked ? 'red' : 'yellow'}
      variant="light"
      role="status"
      icon={<IconShieldX aria-hidden />}
      title={credential_revoked ? t`Its credential was revoked` : t`Another host with its identity was refused`}
    >
      {credential_revoked && (
        <Text size="sm">
          <Trans>
            All Managers refuse this Agent. Its sessions continue to run. Use “Join Again” to create a token with which
            it joins again.
          </Trans>
        </Text>
      )}
      {refused && <RefusedHost refused={refused} />}
    </Alert>
  );
}

function RefusedHost({ refused: { reason, address, at } }: { refused: NonNullable<Agent['refused']> }) {
  const time = <TimeAgo time={at} />;
  return (
    <Text size="sm">
      <Trans>The refused host got this message: “{reason}”</Trans>{' '}
      <Text span size="xs" c="dimmed">
        {address ? (
          <Trans>
            from {address}, {time}
          </Trans>
        ) : (
          <Trans>from an unknown address, {time}</Trans>
        )}
      </Text>
    </Text>
  );
}

type AgentImage = Agent['images'][number];

const IMAGE_COLUMNS: Column<AgentImage>[] = [
  {
    key: 'image',
    title: t`Image`,
    value: (row) => row.name,
    render: (row) => <Code className="anywhere">{row.name}</Code>,
  },
  {
    key: 'state',
    title: t`State`,
    value: (row) => row.state,
    render: (row) => {
      const { name } = row;
      return <PullState pull={row} label={t`Pulled: ${name}`} />;
    },
  },
  {
    key: 'size',
    title: t`Size`,
    value: (row) => row.size_bytes,
    render: (row) => (
      <Text size="sm" className="number nowrap">
        {row.size_bytes > 0 ? bytes(row.size_bytes) : '–'}
      </Text>
    ),
  },
  {
    key: 'error',
    title: t`Error`,
    value: (row) => row.error,
    width: '40%',
    render: (row) => (
      <Text size="sm" c={row.error ? textIn('failure') : undefined} className="anywhere">
        {row.error || '–'}
      </Text>
    ),
  },
  timeColumn('updated', t`Since`, (row) => row.updated),
];

/** The cores that the Agent offers; with CPU Shares it offers each core several times. */
function coresOf({ cores: offered, cores_reported: own, cores_override: override }: Agent): string {
  const times = own > 0 && override === null ? offered / own : 1;
  const [number, factor] = [cores(own), cores(times)];
  return times === 1 ? number : t`${number}, with overcommit factor ${factor}`;
}

/** The workspace images on this Agent, without other images on its host. */
function Images({ agent }: { agent: Agent }) {
  const { hostname } = agent;
  return (
    <DataTable
      caption={t`Images on ${hostname}`}
      list="images-on-agent"
      query={{ data: agent.images, error: null }}
      columns={IMAGE_COLUMNS}
      rowKey={(row) => row.name}
      sort="image"
      empty={
        <EmptyState icon={IconPackage} title={t`The Agent has not reported any images yet`}>
          <Trans>An Agent gets the images of enabled workspaces automatically.</Trans>
        </EmptyState>
      }
    />
  );
}
