import { t } from '@lingui/core/macro';
import { Trans } from '@lingui/react/macro';
import { HomesTable } from '../../../components/HomesTable';
import { PageHeader } from '../../../components/PageHeader';

const ALL = {};

/** Workspaces → Home Folders: the kept home folders of users and their sizes. */
export function Homes() {
  return (
    <>
      <PageHeader title={t`Home Folders`}>
        <Trans>
          The files that users keep between sessions, for workspaces with kept home folders. Each home folder is on the
          host of the first session, and later sessions start there.
        </Trans>
      </PageHeader>
      <HomesTable of={ALL} />
    </>
  );
}
