import { PageHeader } from '../../../components/PageHeader';
import { RequestsTable } from './RequestsTable';

/** Rules & Logs → Manager Requests: the refused requests of Agents to Managers, and the counts of all others. */
export function ManagerRequests() {
  return (
    <>
      <PageHeader title="Manager Requests">
        Refused requests of Agents (HTTP status other than 2xx). Other requests are counted per Agent and minute.
      </PageHeader>
      <RequestsTable />
    </>
  );
}
