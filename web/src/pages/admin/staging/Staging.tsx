import { plural, t } from '@lingui/core/macro';
import { Group, Text } from '@mantine/core';
import { useQuery } from '@tanstack/react-query';
import { stagingQuery } from '../../../api/queries';
import type { StagingConfig } from '../../../api/types';
import { Amount } from '../../../components/Amount';
import { actionsColumn } from '../../../components/columns';
import { ResourcePage } from '../../../components/ResourcePage';
import type { Column } from '../../../components/tableState';
import { hours } from '../../../components/format';
import { RowLink } from '../../../components/RowLink';
import { useBulkPools } from './bulkPools';
import { WhyLink } from '../../../why/WhyButton';
import { ConfigActions, nameOf } from './ConfigActions';
import { ConfigForm } from './ConfigForm';
import { GrantedBadge } from './GrantedBadge';
import { HitShare } from './HitShare';
import { PoolState } from './PoolState';
import { ReadyLine } from './ReadyLine';

const COLUMNS: Column<StagingConfig>[] = [
  { key: 'zone', title: t`Deployment Zone`, rank: 'more', value: (row) => row.zone_name },
  {
    key: 'image',
    title: t`Image`,
    rank: 'title',
    value: (row) => row.image_friendly_name,
    render: (row) => <RowLink to={`/admin/staging/${row.staging_config_id}`}>{row.image_friendly_name}</RowLink>,
  },
  {
    key: 'desired',
    title: t`Desired Sessions`,
    value: (row) => row.num_sessions,
    align: 'right',
    render: (row) => (
      <Text size="sm" className="number" data-testid="desired">
        {row.num_sessions}
      </Text>
    ),
  },
  {
    key: 'current',
    title: t`Current Sessions`,
    rank: 'main',
    value: (row) => row.num_current_sessions,
    width: '24%',
    render: (row) => <PoolState config={row} />,
  },
  { key: 'ready', title: t`Ready (24 h)`, optional: true, rank: 'more', render: (row) => <ReadyLine config={row} /> },
  {
    key: 'hits',
    title: t`Hits (24 h)`,
    value: (row) => hitRateOf(row),
    render: (row) => <HitRate config={row} />,
  },
  {
    key: 'expiration',
    title: t`Expiration (Hours)`,
    value: (row) => row.expiration,
    align: 'right',
    render: (row) => <Amount>{hours(row.expiration)}</Amount>,
  },
  { key: 'permissions', title: t`Permissions`, render: (row) => <GrantedBadge config={row} /> },
  actionsColumn((row) => <ConfigActions config={row} />),
];

/** Staging: the staging configs and their pools. */
export function Staging() {
  return (
    <ResourcePage
      note={t`Each staging config has a pool of staged sessions: sessions of its workspace that wait for users. A launch of the workspace gets a session of the pool immediately, and the pool starts a replacement. Such a launch counts as a hit.`}
      caption={t`Staging Configs`}
      list="staging-configs"
      query={useQuery(stagingQuery)}
      columns={COLUMNS}
      rowKey={(config) => config.staging_config_id}
      sort="zone"
      bulk={useBulkPools()}
      empty={t`No staging configs yet`}
      emptyNote={t`Choose a zone, a workspace and the number of sessions to keep ready.`}
      form={(config, close) => <ConfigForm config={config} onClose={close} />}
    />
  );
}

function hitRateOf({ hits_24h: hits, misses_24h: misses }: StagingConfig): number | null {
  return hits + misses > 0 ? hits / (hits + misses) : null;
}

/** The share of launches that the pool served, the number of misses, and the way to their reasons. */
function HitRate({ config }: { config: StagingConfig }) {
  const { misses_24h: misses, paused } = config;
  const rate = hitRateOf(config);
  if (rate === null) return '–';
  const note = paused ? t`paused` : misses > 0 && plural({ count: misses }, { one: '# miss', other: '# misses' });
  return (
    <Group gap={6} wrap="nowrap">
      <HitShare rate={rate} isPaused={paused} />
      {note && <span className="row-note nowrap">{note}</span>}
      <WhyLink
        to={`/admin/staging/${config.staging_config_id}?tab=history`}
        about={t`hit rate of ${{ pool: nameOf(config) }}`}
      />
    </Group>
  );
}
