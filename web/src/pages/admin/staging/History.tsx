import { plural, t } from '@lingui/core/macro';
import { Plural, Trans } from '@lingui/react/macro';
import { Anchor, Card, Group, SimpleGrid, Skeleton, Stack, Text } from '@mantine/core';
import { useQuery } from '@tanstack/react-query';
import { IconCircleCheck } from '@tabler/icons-react';
import { Link } from 'react-router';
import { useAllowed } from '../../../api/auth';
import { stagingHistoryQuery } from '../../../api/queries';
import type { StagingConfig, StagingHistory, StagingMiss } from '../../../api/types';
import { Amount } from '../../../components/Amount';
import { timeColumn } from '../../../components/columns';
import { Cut } from '../../../components/Cut';
import { DataTable } from '../../../components/DataTable';
import type { Column } from '../../../components/tableState';
import { EmptyState, StaleBanner } from '../../../components/feedback';
import { Part } from '../../../components/Part';
import { RowLink, RowName } from '../../../components/RowLink';
import { StatusBadge } from '../../../components/StatusBadge';
import { HitShare } from './HitShare';
import { HitChart } from './HitChart';
import { LeftOut } from './LeftOut';
import { wordsOf } from './misses';
import { settingTitle, withTitles } from '../../../components/titles';
import { WhyButton } from '../../../why/WhyButton';

type Window = StagingHistory['windows'][number];
type Cause = StagingHistory['reasons'][number];

const SPANS: Record<number, string> = { 1: t`Last hour`, 24: t`Last 24 hours`, 168: t`Last 7 days` };

/** The users that the pool served, those that it did not serve, and the reasons. */
export function History({ config }: { config: StagingConfig }) {
  const { staging_config_id: configId } = config;
  const { data, error } = useQuery(stagingHistoryQuery(configId));
  const allowed = useAllowed();
  if (!data) return error ? <StaleBanner error={error} hasData={false} /> : <Skeleton h={320} radius="md" />;
  return (
    <Stack>
      <StaleBanner error={error} hasData />
      <Text size="sm" c="dimmed">
        <Trans>A hit is a launch that got a session of this pool. A miss is a launch that got no staged session.</Trans>{' '}
        {config.paused && <Trans>The config is paused and serves no launches, so its hit rate is not judged.</Trans>}
      </Text>
      <SimpleGrid cols={{ base: 1, xs: 3 }}>
        {data.windows.map((each) => (
          <Rate key={each.hours} window={each} isPaused={config.paused} />
        ))}
      </SimpleGrid>
      {data.by_hour.some(({ hits, misses }) => hits + misses > 0) && (
        <Card withBorder className="surface" p="md">
          <HitChart byHour={data.by_hour} />
        </Card>
      )}
      <LeftOut config={config} />
      <Part title={t`Reasons of misses in the last 7 days`}>
        <DataTable
          caption={t`Reasons of misses`}
          list="reasons-of-misses"
          name="reasons"
          query={{ data: data.reasons, error: null }}
          columns={CAUSES}
          rowKey={(row) => `${row.code} ${row.setting ?? ''}`}
          minWidth={720}
          empty={<EmptyState icon={IconCircleCheck} title={t`No misses in the last 7 days`} />}
        />
      </Part>
      {data.recent_misses.length > 0 && (
        <Part title={t`Last misses of this pool`}>
          <DataTable
            caption={t`Last misses`}
            list="last-misses"
            name="misses"
            query={{ data: data.recent_misses, error: null }}
            columns={MISSES}
            rowKey={(row) => row.launch_id}
            minWidth={720}
            empty={null}
          />
        </Part>
      )}
      {allowed('system_view') && (
        <Text size="sm">
          <Anchor component={Link} inherit to={`/admin/staging/${configId}?tab=logs&code=staging-violation`}>
            <Trans>Incompatible settings in the logs</Trans>
          </Anchor>
        </Text>
      )}
    </Stack>
  );
}

function Rate({ window, isPaused }: { window: Window; isPaused: boolean }) {
  const { hours, hits, misses, served_elsewhere: elsewhere, hit_rate: rate } = window;
  return (
    <Card withBorder className="surface" p="md">
      <Text size="sm" c="dimmed">
        {SPANS[hours] ?? plural(hours, { one: 'Last # hour', other: 'Last # hours' })}
      </Text>
      <Text fz={26} fw={650} className="number" data-testid={`hit-rate-${hours}`}>
        {rate === null ? t`No launches` : <HitShare rate={rate} isPaused={isPaused} />}
      </Text>
      <Text size="sm">
        {elsewhere > 0 ? (
          <Trans>
            <Plural value={hits} one="# hit" other="# hits" />, <Plural value={misses} one="# miss" other="# misses" />,{' '}
            {elsewhere} served by another pool
          </Trans>
        ) : (
          <Trans>
            <Plural value={hits} one="# hit" other="# hits" />, <Plural value={misses} one="# miss" other="# misses" />
          </Trans>
        )}
      </Text>
    </Card>
  );
}

const CAUSES: Column<Cause>[] = [
  {
    key: 'code',
    title: t`Reason`,
    value: (row) => wordsOf(row.code),
    render: (row) => (
      <RowName note={row.setting && <Trans>setting {{ setting: settingTitle(row.setting) }}</Trans>}>
        {wordsOf(row.code)}
      </RowName>
    ),
  },
  {
    key: 'launches',
    title: t`Launches`,
    value: (row) => row.launches,
    align: 'right',
    render: (row) => <Amount>{row.launches}</Amount>,
  },
  timeColumn('last', t`Last`, (row) => row.last),
  {
    key: 'reason',
    title: t`Details`,
    value: (row) => withTitles(row.reason),
    width: '50%',
    render: (row) => <Cut>{withTitles(row.reason)}</Cut>,
  },
];

function User({ miss: { user_id, username } }: { miss: StagingMiss }) {
  const allowed = useAllowed()('users_view');
  if (!user_id || !username) return '–';
  return allowed ? <RowLink to={`/admin/users/${user_id}`}>{username}</RowLink> : username;
}

function Outcome({ miss: { launch_id: id, outcome } }: { miss: StagingMiss }) {
  const allowed = useAllowed();
  return (
    <Group gap="xs" wrap="nowrap">
      <StatusBadge status={outcome.replace('_', ' ')} />
      {allowed('sessions_view') && (
        <WhyButton subject={{ kind: 'launch', id }} about={t`launch ${{ launch: id.slice(0, 8) }}`} />
      )}
    </Group>
  );
}

const MISSES: Column<StagingMiss>[] = [
  timeColumn('time', t`Time`, (row) => row.time),
  {
    key: 'user',
    title: t`User`,
    value: (row) => row.username,
    render: (row) => <User miss={row} />,
  },
  {
    key: 'reasons',
    title: t`Reason`,
    value: (row) => row.reasons.map(({ code }) => wordsOf(code)).join(', '),
    width: '50%',
    render: (row) => <Cut>{row.reasons.map(({ reason }) => withTitles(reason)).join(' ')}</Cut>,
  },
  {
    key: 'served',
    title: t`Outcome`,
    rank: 'main',
    value: (row) => row.outcome.replace('_', ' '),
    render: (row) => <Outcome miss={row} />,
  },
  {
    key: 'session',
    title: t`Session`,
    rank: 'main',
    value: (row) => row.session_id,
    render: (row) =>
      row.session_id ? (
        <RowLink to={`/admin/sessions/${row.session_id}?tab=placement`}>{row.session_id.slice(0, 8)}</RowLink>
      ) : (
        '–'
      ),
  },
];
