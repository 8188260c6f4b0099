import { useQuery } from '@tanstack/react-query';
import { sessionsQuery } from '../../../api/queries';
import { counted } from '../../../components/format';
import { PageHeader } from '../../../components/PageHeader';
import { kindOf } from './kinds';
import { SessionsTable } from './SessionsTable';

/** Sessions of everybody. */
export function Sessions() {
  const { data } = useQuery(sessionsQuery);
  const staged = (data ?? []).filter((row) => kindOf(row) === 'staged').length;
  return (
    <>
      <PageHeader title="Sessions">
        {data
          ? `${counted(data.length - staged, 'session')} in use, ${staged} staged and waiting for a user`
          : 'Sessions of all users'}
      </PageHeader>
      <SessionsTable />
    </>
  );
}
