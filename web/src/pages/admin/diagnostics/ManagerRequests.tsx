import { PageHeader } from '../../../components/PageHeader';
import { RequestsTable } from './RequestsTable';

/** Diagnostics → Manager Requests: what Agents asked of Managers; all that was refused, the rest counted. */
export function ManagerRequests() {
  return (
    <>
      <PageHeader title="Manager Requests">
        Every request of an Agent that was not answered with 2xx; the others are counted per Agent and minute.
      </PageHeader>
      <RequestsTable />
    </>
  );
}
