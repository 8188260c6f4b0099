import { Anchor, Stack, Text } from '@mantine/core';
import { useQuery } from '@tanstack/react-query';
import { IconRoute } from '@tabler/icons-react';
import { Link } from 'react-router';
import { useAllowed } from '../../../api/auth';
import { placementQuery } from '../../../api/queries';
import type { PlacementStep } from '../../../api/types';
import { DataTable } from '../../../components/DataTable';
import type { Column } from '../../../components/tableState';
import { EmptyState } from '../../../components/feedback';
import { milliseconds } from '../../../components/format';
import { ToneBadge } from '../../../components/ToneBadge';
import { ConfigLink } from '../staging/ConfigLink';
import { wordsOf } from '../staging/misses';
import { settingTitle, withTitles } from '../../../components/titles';
import { WhyButton } from '../../../why/WhyButton';

const STEPS: Record<PlacementStep['step'], string> = {
  turn: 'Waiting for earlier launches',
  staged_here: 'Staged session in the current zone',
  staged_elsewhere: 'Staged session in another zone',
  on_demand_here: 'New session in the current zone',
  on_demand_elsewhere: 'New session in another zone',
};

const OUTCOMES = {
  staged: 'A staged session was assigned.',
  on_demand: 'A new session was created on demand.',
  failed: 'No session could be provided.',
};

const COLUMNS: Column<PlacementStep>[] = [
  { key: 'order', title: 'Step', value: (row) => row.order },
  { key: 'tried', title: 'Attempt', value: (row) => STEPS[row.step], width: '20%' },
  { key: 'zone', title: 'Zone', value: (row) => row.zone_name },
  {
    key: 'candidate',
    title: 'Candidate',
    value: (row) => row.candidate,
    render: (row) => <Candidate step={row} />,
  },
  {
    key: 'result',
    title: 'Result',
    value: resultOf,
    render: (row) => <ToneBadge tone={row.used ? 'accent' : 'neutral'}>{resultOf(row)}</ToneBadge>,
  },
  {
    key: 'reason',
    title: 'Reason',
    value: (row) => withTitles(row.reason),
    width: '40%',
    render: (row) => (
      <Stack gap={0}>
        <Text size="sm">{withTitles(row.reason)}</Text>
        {row.setting && (
          <Text size="xs" c="dimmed">
            setting {settingTitle(row.setting)}
          </Text>
        )}
      </Stack>
    ),
  },
];

function resultOf({ used, code }: PlacementStep): string {
  return used ? 'used' : code ? wordsOf(code) : 'not used';
}

/** The pool or the Agent that was considered. */
function Candidate({ step: { step, candidate } }: { step: PlacementStep }) {
  if (!candidate) return '–';
  return step.startsWith('staged') ? <ConfigLink id={candidate} /> : candidate;
}

/** The placement of a session: its steps in order, with the reasons why candidates were passed over. */
export function PlacementTable({ sessionId }: { sessionId: string }) {
  const { data, error } = useQuery(placementQuery(sessionId));
  const allowed = useAllowed();
  const violated = data?.steps.some(({ setting }) => setting) ?? false;
  return (
    <Stack gap="sm">
      {data && (
        <Text size="sm">
          {OUTCOMES[data.outcome]}
          {data.duration_ms != null && ` The decision took ${milliseconds(data.duration_ms)}.`}{' '}
          {data.steps.length > 0 && <WhyButton subject={{ kind: 'session', id: sessionId }} about="this launch" />}
        </Text>
      )}
      <PlacementSteps steps={data?.steps} error={error} />
      {violated && allowed('system_view') && (
        <Text size="sm">
          <Anchor component={Link} inherit to={`/admin/sessions/${sessionId}?tab=logs&code=staging-violation`}>
            Incompatible settings in the logs
          </Anchor>
        </Text>
      )}
    </Stack>
  );
}

/** The steps of a launch. */
export function PlacementSteps({ steps, error = null }: { steps: PlacementStep[] | undefined; error?: Error | null }) {
  return (
    <DataTable
      caption="Placement"
      name="placement"
      query={{ data: steps?.map((step, index) => ({ ...step, index })), error }}
      columns={COLUMNS}
      rowKey={(row) => String(row.index)}
      minWidth={760}
      empty={<EmptyState icon={IconRoute} title="No steps were recorded for this launch" />}
    />
  );
}
