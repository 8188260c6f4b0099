import { PageHeader } from '../../../components/PageHeader';
import { RequestsTable } from './RequestsTable';

/** Diagnostics → Manager Requests: the refused requests of Agents to Managers, and the counts of all others. */
export function ManagerRequests() {
  return (
    <>
      <PageHeader title="Manager Requests">
        Requests of Agents that were refused (HTTP status other than 2xx). Other requests are counted per Agent and
        minute.
      </PageHeader>
      <RequestsTable />
    </>
  );
}
