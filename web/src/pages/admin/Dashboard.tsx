import { Card, Group, SimpleGrid, Skeleton, Stack, Text, ThemeIcon, Title } from '@mantine/core';
import { type UseQueryResult, useQuery } from '@tanstack/react-query';
import { IconCpu, IconDeviceDesktop, IconServer2, IconStack2, type TablerIcon } from '@tabler/icons-react';
import type { ReactNode } from 'react';
import { Link } from 'react-router';
import { useAllowed } from '../../api/auth';
import { agentsQuery, managersQuery, stagingQuery } from '../../api/queries';
import { sessionCountQuery } from '../../api/sessionList';
import type { Agent, Manager, StagingConfig } from '../../api/types';
import { StaleBanner } from '../../components/feedback';
import { bytes, cores, counted } from '../../components/format';
import { Meter } from '../../components/Meter';
import { PageHeader } from '../../components/PageHeader';
import { PoolState } from './staging/PoolState';
import { isShort } from './staging/short';

/**
 * The state of the deployment and its problems, as far as the user may view them.
 *
 * Each number links to the list that it counts.
 */
export function Dashboard() {
  const allowed = useAllowed();
  const sessions = useQuery({ ...sessionCountQuery({ staged: false }), enabled: allowed('sessions_view') });
  const configs = useQuery({ ...stagingQuery, enabled: allowed('staging_view') });
  const managers = useQuery({ ...managersQuery, enabled: allowed('managers_view') });
  const agents = useQuery({ ...agentsQuery, enabled: allowed('agents_view') });
  const all = [sessions, configs, managers, agents];
  return (
    <>
      <PageHeader title="Dashboard">The current state of the deployment</PageHeader>
      <Stack gap="lg">
        <StaleBanner error={all.find((query) => query.error)?.error} hasData={all.some((query) => query.data)} />
        <SimpleGrid cols={{ base: 1, xs: 2, lg: 4 }}>
          {allowed('sessions_view') && (
            <Figure
              query={sessions}
              to="/admin/sessions"
              icon={IconDeviceDesktop}
              title="Sessions of users"
              of={sessionsOfUsers}
            />
          )}
          {allowed('staging_view') && (
            <Figure query={configs} to="/admin/staging" icon={IconStack2} title="Staged sessions ready" of={staged} />
          )}
          {allowed('managers_view') && (
            <Figure
              query={managers}
              to="/admin/infrastructure/managers"
              icon={IconServer2}
              title="Managers running"
              of={managersRunning}
            />
          )}
          {allowed('agents_view') && (
            <Figure
              query={agents}
              to="/admin/infrastructure/agents"
              icon={IconCpu}
              title="Docker Agents running"
              of={agentsRunning}
            />
          )}
        </SimpleGrid>
        <SimpleGrid cols={{ base: 1, lg: 2 }}>
          {allowed('staging_view') && (
            <Panel title="Pools" to="/admin/staging">
              {configs.data?.length === 0 && (
                <Text size="sm" c="dimmed">
                  No pools yet. Each staging config has a pool.
                </Text>
              )}
              {configs.data?.map((config) => (
                <Pool key={config.staging_config_id} config={config} />
              ))}
            </Panel>
          )}
          {allowed('agents_view') && (
            <Panel title="Reserved capacity" to="/admin/infrastructure/agents">
              {agents.data?.length === 0 && (
                <Text size="sm" c="dimmed">
                  No Agents yet.
                </Text>
              )}
              {agents.data?.map((agent) => (
                <Capacity key={agent.agent_id} agent={agent} />
              ))}
            </Panel>
          )}
        </SimpleGrid>
      </Stack>
    </>
  );
}

interface Count {
  number: string;
  note: string;
}

function sessionsOfUsers(number: string): Count {
  return { number, note: number !== '0' ? 'including stopped and paused sessions' : 'no user has a session' };
}

function staged(configs: StagingConfig[]): Count {
  const sum = (pick: (config: StagingConfig) => number) => configs.reduce((total, config) => total + pick(config), 0);
  const short = configs.filter(isShort).length;
  return {
    number: `${sum((config) => config.num_current_sessions)} / ${sum((config) => config.num_sessions)}`,
    note:
      configs.length === 0
        ? 'no pools yet'
        : short > 0
          ? `${short} of ${counted(configs.length, 'pool')} with too few sessions`
          : `in ${counted(configs.length, 'pool')}`,
  };
}

function managersRunning(managers: Manager[]): Count {
  const running = managers.filter((manager) => manager.status === 'running').length;
  const led = new Set(managers.filter(({ is_primary }) => is_primary).map(({ zone_name }) => zone_name));
  const without = [...new Set(managers.map(({ zone_name }) => zone_name))].filter((zone) => !led.has(zone));
  const note =
    without.length > 0
      ? `no Primary Manager in ${without.join(', ')}`
      : `${counted(led.size, 'zone')} with a Primary Manager`;
  return { number: `${running} / ${managers.length}`, note };
}

function agentsRunning(agents: Agent[]): Count {
  const running = agents.filter((agent) => agent.status === 'running').length;
  const disabled = agents.filter((agent) => !agent.enabled).length;
  return { number: `${running} / ${agents.length}`, note: disabled > 0 ? `${disabled} disabled` : 'all enabled' };
}

interface FigureProps<Data> {
  query: UseQueryResult<Data>;
  to: string;
  icon: TablerIcon;
  title: string;
  of: (data: Data) => Count;
}

function Figure<Data>({ query, to, icon: Icon, title, of }: FigureProps<Data>) {
  const count = query.data === undefined ? undefined : of(query.data);
  return (
    <Card component={Link} to={to} withBorder className="surface tile" p="lg">
      <Group justify="space-between" wrap="nowrap" align="flex-start">
        <Stack gap={2}>
          <Text size="sm" c="dimmed">
            {title}
          </Text>
          {count ? (
            <Text fz={30} fw={700} lh={1.2} className="number">
              {count.number}
            </Text>
          ) : (
            <Skeleton h={36} w={80} />
          )}
          <Text size="xs" c="dimmed">
            {count?.note ?? ' '}
          </Text>
        </Stack>
        <ThemeIcon variant="light" size={40} radius="md">
          <Icon size={22} aria-hidden />
        </ThemeIcon>
      </Group>
    </Card>
  );
}

function Panel({ title, to, children }: { title: string; to: string; children: ReactNode }) {
  return (
    <Card withBorder className="surface" p="lg">
      <Group justify="space-between" mb="md">
        <Title order={2} fz={16}>
          {title}
        </Title>
        <Text component={Link} to={to} size="sm" c="var(--mantine-color-anchor)">
          Show all<span style={{ position: 'absolute', clipPath: 'inset(50%)' }}> of {title}</span>
        </Text>
      </Group>
      <Stack gap="md">{children}</Stack>
    </Card>
  );
}

function Pool({ config }: { config: StagingConfig }) {
  return (
    <div>
      <Text size="sm" mb={4}>
        <b>{config.image_friendly_name}</b> in {config.zone_name}
      </Text>
      <PoolState config={config} />
    </div>
  );
}

function Capacity({ agent }: { agent: Agent }) {
  return (
    <div>
      <Text size="sm" mb={4}>
        <b>{agent.hostname}</b> in {agent.zone_name}, {counted(agent.sessions, 'session')}
      </Text>
      <SimpleGrid cols={2}>
        <Meter
          used={agent.cores_allocated}
          total={agent.cores}
          format={(value) => `${cores(value)} cores`}
          label={`Cores reserved on ${agent.hostname}`}
        />
        <Meter
          used={agent.memory_allocated}
          total={agent.memory}
          format={bytes}
          label={`Memory reserved on ${agent.hostname}`}
        />
      </SimpleGrid>
    </div>
  );
}
