import { useQuery } from '@tanstack/react-query';
import { sessionCountQuery } from '../../../api/sessionList';
import { counted } from '../../../components/format';
import { PageHeader } from '../../../components/PageHeader';
import { QUESTIONS } from './kinds';
import { SessionsTable } from './SessionsTable';

/** Sessions → Sessions: the sessions of all users. */
export function Sessions() {
  const withUser = useQuery(sessionCountQuery(QUESTIONS['with a user']));
  const staged = useQuery(sessionCountQuery(QUESTIONS.staged));
  return (
    <>
      <PageHeader title="Sessions">
        {withUser.data !== undefined && staged.data !== undefined
          ? `${counted(withUser.data, 'session')} with a user, ${staged.data} staged and waiting for a user`
          : 'Sessions of all users'}
      </PageHeader>
      <SessionsTable />
    </>
  );
}
