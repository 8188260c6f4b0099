import { t } from '@lingui/core/macro';
import { Trans } from '@lingui/react/macro';
import { Anchor, Stack, Text } from '@mantine/core';
import { useQuery } from '@tanstack/react-query';
import { IconRoute } from '@tabler/icons-react';
import { Link } from 'react-router';
import { useAllowed } from '../../../api/auth';
import { placementQuery } from '../../../api/queries';
import type { PlacementStep } from '../../../api/types';
import { Cut } from '../../../components/Cut';
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
  turn: t`Waiting for earlier launches`,
  staged_here: t`Staged session in the current zone`,
  staged_elsewhere: t`Staged session in another zone`,
  on_demand_here: t`New session in the current zone`,
  on_demand_elsewhere: t`New session in another zone`,
};

const OUTCOMES = {
  staged: t`A staged session was assigned.`,
  on_demand: t`A new session was created on demand.`,
  failed: t`No session could be provided.`,
};

const COLUMNS: Column<PlacementStep>[] = [
  { key: 'order', title: t`Step`, value: (row) => row.order },
  { key: 'tried', title: t`Attempt`, value: (row) => STEPS[row.step], width: '16%' },
  { key: 'zone', title: t`Zone`, value: (row) => row.zone_name },
  {
    key: 'candidate',
    title: t`Candidate`,
    value: (row) => row.candidate,
    render: (row) => <Candidate step={row} />,
  },
  {
    key: 'result',
    title: t`Result`,
    value: resultOf,
    render: (row) => <ToneBadge tone={row.used ? 'accent' : 'neutral'}>{resultOf(row)}</ToneBadge>,
  },
  {
    key: 'reason',
    title: t`Reason`,
    value: (row) => withTitles(row.reason),
    width: '40%',
    render: (row) => (
      <Stack gap={0}>
        <Text size="sm">{withTitles(row.reason)}</Text>
        {row.setting && (
          <Text size="xs" c="dimmed">
            <Trans>setting {{ setting: settingTitle(row.setting) }}</Trans>
          </Text>
        )}
      </Stack>
    ),
  },
];

function resultOf({ used, code }: PlacementStep): string {
  return used ? t`used` : code ? wordsOf(code) : t`not used`;
}

/** The pool or the Agent that was considered. */
function Candidate({ step: { step, candidate } }: { step: PlacementStep }) {
  if (!candidate) return '–';
  return step.startsWith('staged') ? (
    <Cut>
      <ConfigLink id={candidate} />
    </Cut>
  ) : (
    <span className="nowrap">{candidate}</span>
  );
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
          {data.duration_ms != null && ` ${t`The decision took ${{ duration: milliseconds(data.duration_ms) }}.`}`}{' '}
          {data.steps.length > 0 && <WhyButton subject={{ kind: 'session', id: sessionId }} about={t`this launch`} />}
        </Text>
      )}
      <PlacementSteps steps={data?.steps} error={error} />
      {violated && allowed('system_view') && (
        <Text size="sm">
          <Anchor component={Link} inherit to={`/admin/sessions/${sessionId}?tab=logs&code=staging-violation`}>
            <Trans>Incompatible settings in the logs</Trans>
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
      caption={t`Placement`}
      list="placement"
      name="placement"
      query={{ data: steps?.map((step, index) => ({ ...step, index })), error }}
      columns={COLUMNS}
      rowKey={(row) => String(row.index)}
      minWidth={760}
      empty={<EmptyState icon={IconRoute} title={t`No steps were recorded for this launch`} />}
    />
  );
}
