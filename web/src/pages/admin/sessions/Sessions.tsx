import { plural, t } from '@lingui/core/macro';
import { useQuery } from '@tanstack/react-query';
import { sessionCountQuery } from '../../../api/sessionList';
import { PageHeader } from '../../../components/PageHeader';
import { QUESTIONS } from './kinds';
import { SessionsTable } from './SessionsTable';

/** Sessions → Sessions: the sessions of all users. */
export function Sessions() {
  const withUser = useQuery(sessionCountQuery(QUESTIONS['with a user']));
  const staged = useQuery(sessionCountQuery({ ...QUESTIONS.staged, status: 'running' }));
  return (
    <>
      <PageHeader title={t`Sessions`}>
        {withUser.data !== undefined && staged.data !== undefined
          ? countsOf(withUser.data, staged.data)
          : t`Sessions of all users`}
      </PageHeader>
      <SessionsTable />
    </>
  );
}

/** The numbers are texts: "10000+" means at least so many. */
function countsOf(withUser: string, staged: string): string {
  const number = Number.parseInt(withUser);
  return t`${plural(number, {
    one: `${withUser} session with a user`,
    other: `${withUser} sessions with a user`,
  })}, ${staged} staged and waiting for a user`;
}
