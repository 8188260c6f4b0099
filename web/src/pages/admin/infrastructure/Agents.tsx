import { t } from '@lingui/core/macro';
import { Trans } from '@lingui/react/macro';
import { Anchor, Code, Group } from '@mantine/core';
import { useQuery } from '@tanstack/react-query';
import { IconDropletDown, IconDropletOff } from '@tabler/icons-react';
import { Link } from 'react-router';
import { changeAgent } from '../../../api/actions';
import { agentsQuery, managersQuery } from '../../../api/queries';
import type { Agent, Manager } from '../../../api/types';
import { Amount } from '../../../components/Amount';
import type { Bulk } from '../../../components/bulk';
import { switches } from '../../../components/bulkSwitch';
import { actionsColumn, enabledColumn } from '../../../components/columns';
import { ResourcePage } from '../../../components/ResourcePage';
import type { Column } from '../../../components/tableState';
import { bytes, cores } from '../../../components/format';
import { Meter } from '../../../components/Meter';
import { RowLink } from '../../../components/RowLink';
import { ShortId } from '../../../components/ShortId';
import { agentStatus, StatusBadge } from '../../../components/StatusBadge';
import { TimeAgo } from '../../../components/TimeAgo';
import { useAllowed } from '../../../api/auth';
import { WhyButton } from '../../../why/WhyButton';
import { AddButton } from './AddButton';
import { AgentActions, AgentSwitch } from './AgentActions';
import { JoinTokens } from './JoinTokens';

/** An Agent is missing when it has not reported for 15 s (GREENROOM_AGENT_MISSING_S). */
export const LATE_S = 10;
export const MISSING_S = 15;

const BULK: Bulk<Agent> = {
  noun: 'Agent',
  nameOf: ({ hostname }) => hostname,
  touched: ['agents'],
  actions: [
    ...switches<Agent>({
      effects: { enable: t`It gets new sessions.`, disable: t`It gets no new sessions. Its sessions continue.` },
      run: ({ agent_id }, enabled) => changeAgent(agent_id, { enabled }),
    }),
    {
      label: t`Drain`,
      icon: IconDropletDown,
      effect: () => t`It gets no new sessions, and its staged sessions end. Sessions of users continue.`,
      refusal: ({ draining }) => (draining ? t`It is draining already.` : null),
      run: ({ agent_id }) => changeAgent(agent_id, { draining: true }),
      undo: ({ agent_id }) => changeAgent(agent_id, { draining: false }),
    },
    {
      label: t`End draining`,
      icon: IconDropletOff,
      effect: () => t`It gets new sessions again.`,
      refusal: ({ draining }) => (draining ? null : t`It is not draining.`),
      run: ({ agent_id }) => changeAgent(agent_id, { draining: false }),
      undo: ({ agent_id }) => changeAgent(agent_id, { draining: true }),
    },
  ],
};

/** Infrastructure → Docker Agents: the machines on which sessions run. */
export function Agents() {
  const allowed = useAllowed();
  const mayModify = allowed('agents_modify');
  const managers = useQuery({ ...managersQuery, enabled: allowed('managers_view') });
  const columns: Column<Agent>[] = [
    {
      key: 'agent',
      title: t`Agent`,
      value: (row) => `${row.hostname} ${row.agent_id}`,
      text: (row) => row.hostname,
      render: (row) => (
        <RowLink to={`/admin/infrastructure/agents/${row.agent_id}`} note={<ShortId id={row.agent_id} />} at="start">
          {row.hostname}
        </RowLink>
      ),
    },
    enabledColumn((row) => <AgentSwitch agent={row} />),
    {
      key: 'status',
      title: t`Status`,
      value: (row) => statesOf(row).join(' '),
      render: (row) => {
        const { hostname } = row;
        return (
          <Group gap={6} wrap="nowrap">
            <StatusBadge status={agentStatus(row)} reason={row.status_reason ?? row.closed?.reason} />
            {statesOf(row)
              .slice(1)
              .map((state) => (
                <StatusBadge key={state} status={state} />
              ))}
            <WhyButton subject={{ kind: 'agent', id: row.agent_id }} about={t`Agent ${hostname}`} />
          </Group>
        );
      },
    },
    { key: 'zone', title: t`Zone`, value: (row) => row.zone_name },
    {
      key: 'sessions',
      title: t`Sessions`,
      value: (row) => row.sessions,
      render: (row) => <Amount to={`/admin/sessions?q=agent:${row.agent_id.slice(0, 8)}`}>{row.sessions}</Amount>,
    },
    {
      key: 'cores',
      title: t`Cores reserved`,
      value: (row) => row.cores_allocated,
      render: (row) => {
        const { hostname } = row;
        return (
          <Meter used={row.cores_allocated} total={row.cores} format={cores} label={t`Cores reserved on ${hostname}`} />
        );
      },
    },
    {
      key: 'memory',
      title: t`Memory reserved`,
      value: (row) => row.memory_allocated,
      render: (row) => {
        const { hostname } = row;
        return (
          <Meter
            used={row.memory_allocated}
            total={row.memory}
            format={bytes}
            label={t`Memory reserved on ${hostname}`}
          />
        );
      },
    },
    {
      key: 'disk',
      title: t`Disk free`,
      optional: true,
      value: (row) => row.disk_free,
      render: (row) => (row.disk_free === null ? '–' : bytes(row.disk_free)),
    },
    {
      key: 'last',
      title: t`Last Reported Time`,
      value: (row) => row.last_reported,
      render: (row) => <TimeAgo time={row.last_reported} none={t`never`} warnAfter={LATE_S} alarmAfter={MISSING_S} />,
    },
    {
      key: 'manager',
      title: t`Manager`,
      optional: true,
      value: (row) => managerOf(row, managers.data)?.instance_id ?? row.manager_id,
      render: (row) => <ReportsTo agent={row} manager={managerOf(row, managers.data)} />,
    },
    actionsColumn((row) => <AgentActions agent={row} />),
  ];
  return (
    <ResourcePage
      note={t`An Agent runs the sessions of one host with Docker, or of one Kubernetes namespace. A disabled or draining Agent keeps the sessions of users and gets no new ones. A draining Agent also ends all its staged sessions, so that it becomes empty.`}
      query={useQuery(agentsQuery)}
      columns={columns}
      list="docker-agents"
      rowKey={(agent) => agent.agent_id}
      sort="zone"
      bulk={mayModify ? BULK : undefined}
      empty={t`No Agent has registered yet`}
      emptyNote={
        <Trans>
          “Add Agent” shows the command that joins a machine with Docker: <Code>greenroom join</Code>.
        </Trans>
      }
      buttons={<AddButton role="agent" />}
    >
      <JoinTokens role="agent" />
    </ResourcePage>
  );
}

/** The status of an Agent, with badges for its other properties. */
export function statesOf(agent: Agent): string[] {
  const status = agentStatus(agent);
  return [
    status,
    ...(agent.draining && status !== 'draining' ? ['draining'] : []),
    ...(agent.credential_revoked ? ['revoked'] : []),
    ...(agent.refused ? ['second host refused'] : []),
  ];
}

/** The Manager an Agent reports to. */
export function managerOf(agent: Agent, managers: Manager[] | undefined): Manager | undefined {
  return managers?.find(({ manager_id }) => manager_id === agent.manager_id);
}

interface ReportsToProps {
  agent: Agent;
  manager: Manager | undefined;
}

const TERM_HINT = t`The term counts the changes of the Primary Manager of the zone. This is the highest that the Agent has seen.`;

/** The Manager of an Agent, and the highest term the Agent has seen. */
export function ReportsTo({ agent, manager }: ReportsToProps) {
  if (!agent.manager_id) return null;
  const { manager_term: term } = agent;
  const name = manager?.instance_id ?? agent.manager_id.slice(0, 8);
  return (
    <span className="row-note beside">
      <Trans>
        to{' '}
        <Anchor component={Link} to={`/admin/infrastructure/managers/${agent.manager_id}`} size="xs" underline="always">
          {name}
        </Anchor>
        ,{' '}
        <span className="nowrap mantine-focus-auto" tabIndex={0} data-hint={TERM_HINT}>
          term {term}
        </span>
      </Trans>
    </span>
  );
}
