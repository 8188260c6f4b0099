import { PageHeader } from '../../../components/PageHeader';
import { LogsTable } from './LogsTable';

/** Diagnostics → Logs: every decision with its reason, newest first. */
export function Logs() {
  return (
    <>
      <PageHeader title="Logs">
        The log of the api, the Managers, the Agents and greenroom up: decisions with their reasons, and changes by
        administrators.
      </PageHeader>
      <LogsTable />
    </>
  );
}
