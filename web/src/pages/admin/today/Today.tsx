import { Skeleton } from '@mantine/core';
import { useQuery } from '@tanstack/react-query';
import { todayQuery } from '../../../api/queries';
import { StaleBanner } from '../../../components/feedback';
import { PageHeader } from '../../../components/PageHeader';
import { LaunchesToday } from '../trends/LaunchesToday';
import { AttentionList } from './AttentionList';
import { FactTiles } from './FactTiles';
import classes from './Today.module.css';

/** What needs attention now, and the facts of the last hours, as far as the user may see them. */
export function Today() {
  const { data: today, error } = useQuery(todayQuery);
  return (
    <>
      <PageHeader title="Today" />
      <StaleBanner error={error} hasData={today !== undefined} />
      {today ? (
        <div className={classes.page}>
          <AttentionList today={today} />
          <FactTiles today={today} />
          <LaunchesToday />
        </div>
      ) : (
        !error && <Skeleton className={classes.waiting} />
      )}
    </>
  );
}
