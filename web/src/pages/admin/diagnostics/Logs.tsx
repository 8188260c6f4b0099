import { t } from '@lingui/core/macro';
import { Trans } from '@lingui/react/macro';
import { PageHeader } from '../../../components/PageHeader';
import { LogsTable } from './LogsTable';

/** Diagnostics → Logs: every decision with its reason, newest first. */
export function Logs() {
  return (
    <>
      <PageHeader title={t`Logs`}>
        <Trans>
          The decisions of Greenroom with their reasons, and the changes by administrators. The api, the Managers, the
          Agents and the command “greenroom up” write this log.
        </Trans>
      </PageHeader>
      <LogsTable />
    </>
  );
}
