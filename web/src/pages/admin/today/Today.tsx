import { t } from '@lingui/core/macro';
import { Skeleton } from '@mantine/core';
import { useQuery } from '@tanstack/react-query';
import { useAllowed } from '../../../api/auth';
import { todayQuery } from '../../../api/queries';
import { stageMapQuery } from '../../../api/stageMap';
import { StaleBanner } from '../../../components/feedback';
import { PageHeader } from '../../../components/PageHeader';
import { StageOfToday } from '../../../stage/StageOfToday';
import { LaunchesToday } from '../trends/LaunchesToday';
import { AttentionList } from './AttentionList';
import { FactTiles } from './FactTiles';
import { FirstSteps } from './FirstSteps';
import classes from './Today.module.css';

/** What needs attention now, and the facts of the last hours, as far as the user may see them. */
export function Today() {
  const allowed = useAllowed();
  const { data: today, error } = useQuery(todayQuery);
  const stage = useQuery({ ...stageMapQuery, enabled: allowed('agents_view') });
  return (
    <>
      <PageHeader title={t`Today`} />
      <StaleBanner error={error} hasData={today !== undefined} />
      {today && !stage.isLoading ? (
        <div className={classes.page}>
          <AttentionList today={today} />
          <FirstSteps steps={today.first_steps} />
          <FactTiles today={today} />
          {stage.data && <StageOfToday map={stage.data} />}
          <LaunchesToday />
        </div>
      ) : (
        !error && <Skeleton className={classes.waiting} />
      )}
    </>
  );
}
