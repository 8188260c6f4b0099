import { ph, t } from '@lingui/core/macro';
import { Trans } from '@lingui/react/macro';
import { SegmentedControl } from '@mantine/core';
import { IconListDetails } from '@tabler/icons-react';
import { useMemo, useState } from 'react';
import { useSearchParams } from 'react-router';
import { launchCountQuery, launchListQuery } from '../../../api/queries';
import type { Launch } from '../../../api/types';
import { useAskedAction } from '../../../components/askedAction';
import { Amount } from '../../../components/Amount';
import { timeColumn } from '../../../components/columns';
import { Cut } from '../../../components/Cut';
import { ResourcePage } from '../../../components/ResourcePage';
import type { Column } from '../../../components/tableState';
import { milliseconds } from '../../../components/format';
import { RowButton } from '../../../components/RowButton';
import { RowLink } from '../../../components/RowLink';
import { StatusBadge } from '../../../components/StatusBadge';
import { withParam } from '../../../components/tableState';
import { usePages } from '../../../components/usePages';
import { PlacementSteps } from '../sessions/PlacementTable';
import { withTitles } from '../../../components/titles';
import { SideSheet } from '../../../components/Dialog';
import { useSpan } from './SpanSelect';
import { WhyButton, WhyOpened } from '../../../why/WhyButton';

/** Wide enough for the table of steps. */
const DRAWER_PX = 1000;

const OUTCOMES = ['staged', 'on_demand', 'failed'] as const;

const LABELS = { staged: t`Staged`, on_demand: t`On demand`, failed: t`Failed` };
const WORDS: Record<string, string> = { staged: t`staged`, on_demand: t`on demand`, failed: t`failed` };

/** Diagnostics → Launches: all launches, including those without a session. */
export function Launches() {
  const [params, setParams] = useSearchParams();
  const outcome = OUTCOMES.find((each) => each === params.get('outcome')) ?? null;
  const span = useSpan();
  const which = { ...(outcome && { outcome }), ...span.asked };
  const launches = usePages({
    sort: '-time',
    pages: (asked) => launchListQuery({ ...which, ...asked }),
    count: (asked) => launchCountQuery({ ...which, ...asked }),
  });
  const [isAsked, setAsked] = useState(false);
  useAskedAction((action) => setAsked(action === 'why'));
  // The filter finds texts in names. The question is about one user.
  const first = launches.query.data?.find(({ user_id }) => user_id === params.get('of'));
  const [shown, setShown] = useState<Launch | null>(null);
  const columns = useMemo(() => columnsOf(setShown), []);
  const choose = (next: string) => setParams(withParam('outcome', next === 'all' ? '' : next), { replace: true });
  return (
    <ResourcePage
      note={t`Each launch with its outcome, the reason and the time that the user waited.`}
      list="launches"
      {...launches}
      columns={columns}
      rowKey={rowKey}
      tools={
        <>
          <SegmentedControl
            size="xs"
            aria-label={t`Outcome`}
            data={[{ value: 'all', label: t`All` }, ...OUTCOMES.map((value) => ({ value, label: LABELS[value] }))]}
            value={outcome ?? 'all'}
            onChange={choose}
          />
          {span.control}
        </>
      }
      empty={t`No matching launches`}
      emptyNote={t`All launches of workspaces appear here, including those without a session.`}
    >
      {isAsked && first && (
        <WhyOpened subject={{ kind: 'launch', id: first.launch_id }} onClose={() => setAsked(false)} />
      )}
      {shown && (
        <SideSheet
          title={
            <>
              <Trans>
                {ph({ workspace: shown.image_friendly_name ?? t({ message: 'Launch', context: 'noun' }) })} for{' '}
                {ph({ user: shown.username ?? t({ message: 'a deleted user', context: 'for' }) })}
              </Trans>
            </>
          }
          onClose={() => setShown(null)}
          size={DRAWER_PX}
        >
          <PlacementSteps steps={shown.steps} />
        </SideSheet>
      )}
    </ResourcePage>
  );
}

const rowKey = (row: Launch) => row.launch_id;

function columnsOf(onSteps: (launch: Launch) => void): Column<Launch>[] {
  return [
    { ...timeColumn<Launch>('time', t`Time`, (row) => row.at), rank: 'main' },
    {
      key: 'user',
      title: t`User`,
      rank: 'title',
      unordered: true,
      value: (row) => row.username,
      render: (row) => <span className="nowrap">{row.username ?? '–'}</span>,
    },
    {
      key: 'workspace',
      title: t`Workspace`,
      rank: 'main',
      unordered: true,
      value: (row) => row.image_friendly_name,
      render: (row) => <Cut>{row.image_friendly_name ?? '–'}</Cut>,
    },
    {
      key: 'outcome',
      title: t`Outcome`,
      unordered: true,
      value: (row) => WORDS[row.outcome] ?? row.outcome,
      render: (row) => (
        <span className="nowrap">
          <StatusBadge status={wordOf(row.outcome)} />{' '}
          <WhyButton subject={{ kind: 'launch', id: row.launch_id }} about={aboutOf(row)} />
        </span>
      ),
    },
    {
      key: 'reason',
      title: t`Reason`,
      rank: 'main',
      unordered: true,
      value: (row) => withTitles(row.reason),
      width: '99%',
      render: (row) => (row.reason ? <Cut>{withTitles(row.reason)}</Cut> : '–'),
    },
    {
      key: 'session',
      title: t`Session`,
      unordered: true,
      value: (row) => row.session_id,
      render: (row) =>
        row.session_id ? <RowLink to={`/admin/sessions/${row.session_id}`}>{row.session_id.slice(0, 8)}</RowLink> : '–',
    },
    {
      key: 'waited',
      title: t`Waited`,
      unordered: true,
      value: (row) => row.waited_ms,
      align: 'right',
      render: (row) => <Amount>{row.waited_ms === null ? '–' : milliseconds(row.waited_ms)}</Amount>,
    },
    {
      key: 'steps',
      title: t`Steps`,
      hideTitle: true,
      align: 'right',
      render: (row) => (
        <RowButton label={t`Steps of this launch`} icon={IconListDetails} onClick={() => onSteps(row)} />
      ),
    },
  ];
}

function aboutOf({ image_friendly_name, username }: Launch): string {
  const workspace = image_friendly_name ?? t`a deleted workspace`;
  const user = username ?? t({ message: 'a deleted user', context: 'for' });
  return t`launch of ${workspace} by ${user}`;
}

/** The outcome as a status. */
function wordOf(outcome: string): string {
  return outcome.replace('_', ' ');
}
