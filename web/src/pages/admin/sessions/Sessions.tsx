import { useQuery } from '@tanstack/react-query';
import { sessionCountQuery } from '../../../api/sessionList';
import { counted } from '../../../components/format';
import { PageHeader } from '../../../components/PageHeader';
import { QUESTIONS } from './kinds';
import { SessionsTable } from './SessionsTable';

/** Sessions → Sessions: the sessions of all users. */
export function Sessions() {
  const inUse = useQuery(sessionCountQuery(QUESTIONS['in use']));
  const staged = useQuery(sessionCountQuery(QUESTIONS.staged));
  return (
    <>
      <PageHeader title="Sessions">
        {inUse.data !== undefined && staged.data !== undefined
          ? `${counted(inUse.data, 'session')} in use, ${staged.data} staged and waiting for a user`
          : 'Sessions of all users'}
      </PageHeader>
      <SessionsTable />
    </>
  );
}
