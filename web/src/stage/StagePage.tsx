import { t } from '@lingui/core/macro';
import { Trans } from '@lingui/react/macro';
import { Button, Skeleton } from '@mantine/core';
import { useQuery } from '@tanstack/react-query';
import { IconMap2, IconTable } from '@tabler/icons-react';
import { useDeferredValue, useState } from 'react';
import { useSearchParams } from 'react-router';
import { stageMapQuery } from '../api/stageMap';
import { EmptyState, StaleBanner } from '../components/feedback';
import { PageHeader } from '../components/PageHeader';
import { withParam } from '../components/tableState';
import { usePlace } from '../places';
import { Legend } from './Legend';
import styles from './stage.module.css';
import { StageMap } from './StageMap';
import { StageTable } from './StageTable';
import { useLooks } from './useLooks';

/** Infrastructure → Stage Map: the whole fleet with its sessions as a picture, or the same facts as a table. */
export function StagePage() {
  const { title, icon } = usePlace();
  const { data, error } = useQuery(stageMapQuery);
  const map = useDeferredValue(data); // a change of many Agents takes several frames to render, and dots move meanwhile
  const [params, setParams] = useSearchParams();
  const [only, setOnly] = useState<string | null>(null);
  const isTable = params.get('view') === 'table';
  const looks = useLooks(map);
  const marked = map?.sessions?.some(({ image_id }) => image_id === only) ? only : null; // its last session may end
  return (
    <>
      <PageHeader
        title={title}
        actions={
          <Button
            variant="default"
            leftSection={isTable ? <IconMap2 size={16} aria-hidden /> : <IconTable size={16} aria-hidden />}
            onClick={() => setParams(withParam('view', isTable ? '' : 'table'))}
          >
            {isTable ? t`Show as map` : t`Show as table`}
          </Button>
        }
      >
        <Trans>
          Each zone with its Managers, Agents and sessions. The crown is on the Primary. Staged sessions wait in their
          pools.
        </Trans>
      </PageHeader>
      <StaleBanner error={error} hasData={map !== undefined} />
      {!map ? (
        !error && <Skeleton className={styles.waiting} />
      ) : map.zones.length === 0 ? (
        <EmptyState icon={icon} title={t`No zones`}>
          <Trans>A zone is created when its first Manager starts.</Trans>
        </EmptyState>
      ) : isTable ? (
        <StageTable map={map} />
      ) : (
        <div className={styles.page}>
          {map.has_more_sessions && (
            <p className={styles.note}>
              <Trans>Only the newest 5,000 sessions are shown.</Trans>
            </p>
          )}
          {map.sessions !== null && <Legend sessions={map.sessions} looks={looks} only={marked} onOnly={setOnly} />}
          <StageMap map={map} looks={looks} only={marked} />
        </div>
      )}
    </>
  );
}
