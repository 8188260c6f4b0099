import { t } from '@lingui/core/macro';
import { Trans } from '@lingui/react/macro';
import { PageHeader } from '../../../components/PageHeader';
import { RequestsTable } from './RequestsTable';

/** Diagnostics → Manager Requests: the refused requests of Agents to Managers, and the counts of all others. */
export function ManagerRequests() {
  return (
    <>
      <PageHeader title={t`Manager Requests`}>
        <Trans>
          Refused requests of Agents (HTTP status other than 2xx). Other requests are counted per Agent and minute.
        </Trans>
      </PageHeader>
      <RequestsTable />
    </>
  );
}
