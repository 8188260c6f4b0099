import { t } from '@lingui/core/macro';
import { Trans } from '@lingui/react/macro';
import { Anchor, Button, Group, SegmentedControl, Select, Stack, Text } from '@mantine/core';
import { useQuery } from '@tanstack/react-query';
import { IconListDetails } from '@tabler/icons-react';
import { Link } from 'react-router';
import { useAllowed } from '../../../api/auth';
import { agentsQuery, managerRequestsQuery, managersQuery, type RequestQuestion } from '../../../api/queries';
import type { Agent, Manager, ManagerRequest } from '../../../api/types';
import { useAddress } from '../../../components/address';
import { Amount } from '../../../components/Amount';
import { timeColumn } from '../../../components/columns';
import { DataTable } from '../../../components/DataTable';
import type { Column } from '../../../components/tableState';
import { EmptyState } from '../../../components/feedback';
import { milliseconds } from '../../../components/format';
import { OlderRows } from '../../../components/OlderRows';
import { textIn } from '../../../components/tones';

/** The number of rows of a page. Older rows are loaded on request. */
const ROWS = 250;

/** The choices of answers: the value in the address, the label and the condition of the request. */
const ANSWERS: { value: string; label: string; question: RequestQuestion }[] = [
  { value: 'all', label: t`All`, question: {} },
  { value: 'refused', label: t`Refused`, question: { refused: true } },
  { value: '503', label: t`Not in service (503)`, question: { status: 503 } },
  { value: 'served', label: t`Served`, question: { refused: false } },
];

interface Props {
  /** Shows only the requests of one Agent or to one Manager. */
  fixed?: Pick<RequestQuestion, 'agent_id' | 'manager_instance_id'>;
}

/** Requests of Agents to Managers, newest first, with the filter of the address. */
export function RequestsTable({ fixed = {} }: Props) {
  const address = useAddress();
  // Another filter starts with the newest rows.
  const change = (name: string, value: string | null) => address.set({ cursor: '', [name]: value ?? '' });
  const allowed = useAllowed();
  const agents = useQuery({ ...agentsQuery, enabled: allowed('agents_view') });
  const managers = useQuery({ ...managersQuery, enabled: allowed('managers_view') });
  const given = new Set([fixed.agent_id && 'agent', fixed.manager_instance_id && 'manager']);
  const chosen = { agent_id: address.get('agent_id'), manager_instance_id: address.get('manager_instance_id') };
  const answers = ANSWERS.find(({ value }) => value === address.get('answers'));
  const cursor = address.get('cursor');
  const question = {
    ...answers?.question,
    ...(chosen.agent_id ? { agent_id: chosen.agent_id } : {}),
    ...(chosen.manager_instance_id ? { manager_instance_id: chosen.manager_instance_id } : {}),
    ...(cursor ? { cursor } : {}),
    ...fixed,
  };
  const requests = useQuery({ ...managerRequestsQuery(question, ROWS), placeholderData: (before) => before });
  return (
    <Stack gap="sm">
      <DataTable
        caption={t`Manager Requests`}
        list="manager-requests"
        query={{ data: requests.data?.rows, error: requests.error }}
        columns={columnsOf(agents.data ?? [], managers.data ?? []).filter(({ key }) => !given.has(key))}
        sort="-time"
        isPart
        minWidth={940}
        rowKey={(row) => String(row.request_id)}
        tools={
          <Group gap="xs">
            <SegmentedControl
              size="xs"
              aria-label={t`Answers`}
              data={ANSWERS.map(({ value, label }) => ({ value, label }))}
              value={answers?.value ?? 'all'}
              onChange={(value) => change('answers', value === 'all' ? null : value)}
            />
            {!fixed.manager_instance_id && (
              <Choice
                label={t`Manager`}
                all={t`All Managers`}
                choices={(managers.data ?? []).map(({ instance_id }) => ({ value: instance_id, label: instance_id }))}
                value={chosen.manager_instance_id}
                onChange={(value) => change('manager_instance_id', value)}
              />
            )}
            {!fixed.agent_id && (
              <Choice
                label={t`Agent`}
                all={t`All Agents`}
                choices={(agents.data ?? []).map((agent) => ({ value: agent.agent_id, label: nameOf(agent) }))}
                value={chosen.agent_id}
                onChange={(value) => change('agent_id', value)}
              />
            )}
            {cursor && (
              <Button size="compact-xs" variant="default" onClick={() => change('cursor', null)}>
                <Trans>Back to the newest</Trans>
              </Button>
            )}
          </Group>
        }
        empty={
          <EmptyState icon={IconListDetails} title={t`No matching requests`}>
            <Trans>
              Refused requests (HTTP status other than 2xx) appear here. The others are counted at the end of each
              minute.
            </Trans>
          </EmptyState>
        }
      />
      <OlderRows next={requests.data?.next} onShow={(next) => change('cursor', next)} />
    </Stack>
  );
}

interface ChoiceProps {
  label: string;
  /** The placeholder if nothing is chosen. */
  all: string;
  choices: { value: string; label: string }[];
  value: string | null;
  onChange: (value: string | null) => void;
}

function Choice({ label, all, choices, value, onChange }: ChoiceProps) {
  const known = value === null || choices.some((choice) => choice.value === value);
  return (
    <Select
      size="xs"
      w={190}
      aria-label={label}
      placeholder={all}
      clearable
      clearButtonProps={{ 'aria-label': all }}
      data={known ? choices : [...choices, { value: value, label: value }]}
      value={value}
      onChange={onChange}
    />
  );
}

function nameOf({ hostname, agent_id }: Agent): string {
  return `${hostname} ${agent_id.slice(0, 8)}`;
}

function columnsOf(agents: Agent[], managers: Manager[]): Column<ManagerRequest>[] {
  const agentOf = (row: ManagerRequest) => agents.find((agent) => agent.agent_id === row.agent_id);
  const managerOf = (row: ManagerRequest) =>
    managers.find((manager) => manager.instance_id === row.manager_instance_id);
  return [
    { ...timeColumn<ManagerRequest>('time', t`Time`, (row) => row.time), rank: 'main' },
    {
      key: 'agent',
      title: t`Agent`,
      rank: 'title',
      value: (row) => {
        const agent = agentOf(row);
        return agent ? `${agent.hostname} ${agent.agent_id}` : row.agent_id;
      },
      render: (row) => {
        const agent = agentOf(row);
        const name = agent ? nameOf(agent) : (row.agent_id?.slice(0, 8) ?? t`unknown`);
        return <Known to={agent && `/admin/infrastructure/agents/${agent.agent_id}`}>{name}</Known>;
      },
    },
    {
      key: 'manager',
      title: t`Manager`,
      value: (row) => row.manager_instance_id,
      render: (row) => {
        const manager = managerOf(row);
        return (
          <Known to={manager && `/admin/infrastructure/managers/${manager.manager_id}`}>
            {row.manager_instance_id}
          </Known>
        );
      },
    },
    {
      key: 'request',
      title: t`Request`,
      rank: 'main',
      value: (row) => `${requestTitle(row)} ${row.method} ${row.path}`,
      text: (row) => `${row.method} ${row.path}`,
      render: (row) => (
        <span className="nowrap" data-hint={`${row.method} ${row.path}`}>
          {requestTitle(row)}
        </span>
      ),
    },
    {
      key: 'status',
      title: t`Status`,
      value: (row) => row.status,
      render: (row) => <Status status={row.status} />,
    },
    {
      key: 'count',
      title: t`Count`,
      value: (row) => row.count,
      align: 'right',
      render: (row) => <Amount>{isServed(row) ? t`${{ count: row.count }} in a minute` : row.count}</Amount>,
    },
    {
      key: 'duration',
      title: t`Duration`,
      value: (row) => row.duration_ms,
      align: 'right',
      render: (row) => <Amount>{milliseconds(row.duration_ms)}</Amount>,
    },
  ];
}

/** The names of the requests, by the ends of their paths. */
const REQUESTS: Record<string, string> = {
  register: t`Registration`,
  'check-in': t`Check-in`,
  'edge-certificate': t`Certificate of the gateway`,
  'image-sources': t`Search of an image`,
  'image-ticket': t`Check of an image copy`,
  join: t`Join`,
};

/** The request in words; an unknown one as method and path. */
function requestTitle({ method, path }: ManagerRequest): string {
  return REQUESTS[path.split('/').at(-1) ?? ''] ?? `${method} ${path}`;
}

/** The frequent statuses in words. */
const STATUSES: Record<number, string> = {
  200: t`served`,
  401: t`not authenticated`,
  403: t`refused`,
  404: t`not found`,
  409: t`conflict`,
  422: t`invalid`,
  429: t`too many requests`,
  502: t`no Manager answered`,
  503: t`not in service`,
  504: t`no answer in time`,
};

function isServed({ status }: ManagerRequest): boolean {
  return status >= 200 && status < 300;
}

/** A name that links to its page, if the page exists. */
function Known({ to, children }: { to: string | undefined; children: string }) {
  if (!to)
    return (
      <Text size="sm" className="nowrap">
        {children}
      </Text>
    );
  return (
    <Anchor component={Link} to={to} size="sm" className="nowrap">
      {children}
    </Anchor>
  );
}

function Status({ status }: { status: number }) {
  const bad = status >= 400;
  return (
    <Text size="sm" fw={bad ? 650 : 400} className="number nowrap" c={bad ? textIn('failure') : undefined}>
      {status} {STATUSES[status]}
    </Text>
  );
}
