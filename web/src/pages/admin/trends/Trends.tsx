import { t } from '@lingui/core/macro';
import { Trans } from '@lingui/react/macro';
import { Select } from '@mantine/core';
import { IconTimeline } from '@tabler/icons-react';
import { useSearchParams } from 'react-router';
import { useAllowed } from '../../../api/auth';
import styles from '../../../charts/charts.module.css';
import { TimeRange } from '../../../charts/TimeRange';
import { useRange } from '../../../charts/useRange';
import { EmptyState } from '../../../components/feedback';
import { PageHeader } from '../../../components/PageHeader';
import { useZoneChoices } from '../../../components/useZoneChoices';
import { SeriesCharts } from './SeriesCharts';
import { CHARTS } from './specs';

/** Today → Trends: how the deployment, or one zone, changes over time. The address has the period and the zone. */
export function Trends() {
  const allowed = useAllowed();
  const { range, show } = useRange();
  const [params, setParams] = useSearchParams();
  const zoneId = params.get('zone');
  const charts = CHARTS.filter(({ needs }) => allowed(needs));
  const showZone = (zone: string | null) =>
    setParams((current) => {
      const changed = new URLSearchParams(current);
      if (zone) changed.set('zone', zone);
      else changed.delete('zone');
      return changed;
    });
  return (
    <>
      <PageHeader title={t`Trends`}>
        <Trans>How the deployment changes. Drag across a chart to see a period in detail.</Trans>
      </PageHeader>
      {charts.length === 0 ? (
        <EmptyState icon={IconTimeline} title={t`You are not allowed to view this page`} />
      ) : (
        <>
          <div className={styles.bar}>
            <TimeRange range={range} onChange={show} />
            {allowed('zones_view') && <ZoneSelect zoneId={zoneId} onChange={showZone} />}
          </div>
          <SeriesCharts charts={charts} range={range} onRange={show} only={zoneId ? { zone_id: zoneId } : undefined} />
        </>
      )}
    </>
  );
}

function ZoneSelect({ zoneId, onChange }: { zoneId: string | null; onChange: (zone: string | null) => void }) {
  const { choices } = useZoneChoices();
  if (choices.length < 2 && !zoneId) return null;
  return (
    <Select
      size="xs"
      aria-label={t`Zone`}
      placeholder={t`All zones`}
      clearable
      clearButtonProps={{ 'aria-label': t`All zones` }}
      data={choices}
      value={zoneId}
      onChange={onChange}
    />
  );
}
