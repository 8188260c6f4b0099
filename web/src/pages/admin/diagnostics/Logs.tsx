import { PageHeader } from '../../../components/PageHeader';
import { LogsTable } from './LogsTable';

/** Diagnostics → Logs: every decision with its reason, newest first. */
export function Logs() {
  return (
    <>
      <PageHeader title="Logs">What was decided, and why; who changed what.</PageHeader>
      <LogsTable />
    </>
  );
}
