import { PageHeader } from '../../../components/PageHeader';
import { LogsTable } from './LogsTable';

/** Diagnostics → Logs: every decision with its reason, newest first. */
export function Logs() {
  return (
    <>
      <PageHeader title="Logs">Decisions with their reasons, and changes of administrators.</PageHeader>
      <LogsTable />
    </>
  );
}
