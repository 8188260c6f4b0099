import { HomesTable } from '../../../components/HomesTable';
import { PageHeader } from '../../../components/PageHeader';

const ALL = {};

/** Sessions → Home Folders: what is kept for users, and how much it takes. */
export function Homes() {
  return (
    <>
      <PageHeader title="Home Folders">
        What users keep between their sessions, in workspaces whose form says so. Each is on the host that ran the first
        session, and later ones start there.
      </PageHeader>
      <HomesTable of={ALL} />
    </>
  );
}
