import { t } from '@lingui/core/macro';
import { Card, SimpleGrid, Stack } from '@mantine/core';
import { useQuery } from '@tanstack/react-query';
import { useAllowed, useAllowedEverywhere } from '../../../api/auth';
import { stagingConfigQuery } from '../../../api/queries';
import type { StagingConfig } from '../../../api/types';
import { useItem } from '../../../components/address';
import { DetailsPage, type Tab } from '../../../components/DetailsPage';
import { Facts } from '../../../components/Facts';
import { hours } from '../../../components/format';
import { useLinks } from '../../../components/useLinks';
import { ShortId } from '../../../components/ShortId';
import { TimeAgo } from '../../../components/TimeAgo';
import { LogsTable } from '../diagnostics/LogsTable';
import { PoolTrends } from '../trends/PoolTrends';
import { ConfigButtons, nameOf } from './ConfigActions';
import { Explain } from './Explain';
import { grantedBy } from './GrantedBadge';
import { History } from './History';
import { PoolSessions } from './PoolSessions';
import { PoolState } from './PoolState';

/** Codes of log rows about pools, with their labels. */
const LOG_CODES = {
  'staging-violation': t`Incompatible settings`,
  'staging-miss': t`Misses`,
  'staging-shortfall': t`Shortfalls`,
  'staging-refill-blocked': t`Blocked refills`,
};

/** One staging config: its pool, the users that it served and would serve, and its log rows. */
export function StagingConfigPage() {
  const { configId = '' } = useItem();
  const config = useQuery(stagingConfigQuery(configId));
  const allowed = useAllowed();
  const mayCheck = useAllowedEverywhere()('staging_view');
  const tabs = (data: StagingConfig): Tab[] => [
    { key: 'pool', title: t`Pool`, content: <Pool config={data} /> },
    { key: 'trends', title: t`Trends`, content: <PoolTrends configId={data.staging_config_id} /> },
    { key: 'history', title: t`Hits and Misses`, content: <History config={data} /> },
    ...(mayCheck ? [{ key: 'explain', title: t`Check a User`, content: <Explain config={data} /> }] : []),
    ...(allowed('system_view')
      ? [
          {
            key: 'logs',
            title: t`Logs`,
            content: <LogsTable fixed={{ staging_config_id: data.staging_config_id }} codes={LOG_CODES} />,
          },
        ]
      : []),
  ];
  return (
    <DetailsPage
      list={{ to: '/admin/staging', title: t`Staging` }}
      query={config}
      title={nameOf}
      actions={(data) => <ConfigButtons config={data} />}
      tabs={tabs}
    />
  );
}

function Pool({ config }: { config: StagingConfig }) {
  const allowed = useAllowed();
  const to = useLinks();
  return (
    <Stack>
      <SimpleGrid cols={{ base: 1, lg: 2 }}>
        <Card withBorder className="surface" p="md">
          <Facts
            facts={[
              [t`Current Sessions`, <PoolState key="current" config={config} />],
              [t`Starting`, config.num_starting_sessions],
              [t`Desired Sessions`, config.num_sessions],
              [t`Expiration (Hours)`, hours(config.expiration)],
              [t`Failed starts in a row`, config.failures > 0 && config.failures],
              [t`Last error`, config.last_error],
              [t`Next try`, config.next_try && <TimeAgo key="next" time={config.next_try} />],
            ]}
          />
        </Card>
        <Card withBorder className="surface" p="md">
          <Facts
            facts={[
              [t`Deployment Zone`, to('/admin/infrastructure/zones', config.zone_name, 'zones_view')],
              [t`Image`, to(`/admin/workspaces/${config.image_id}`, config.image_friendly_name, 'images_view')],
              [t`Default permissions`, grantedBy(config).join(', ') || t`none`],
              [t`Config ID`, <ShortId key="id" id={config.staging_config_id} />],
              [t`Created`, <TimeAgo key="created" time={config.created} />],
            ]}
          />
        </Card>
      </SimpleGrid>
      {allowed('sessions_view') && <PoolSessions configId={config.staging_config_id} />}
    </Stack>
  );
}
