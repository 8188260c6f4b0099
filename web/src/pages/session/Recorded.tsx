import { Trans } from '@lingui/react/macro';

/** The announcement that the session is recorded. It stays below the desktop. */
export function Recorded() {
  return (
    <p className="recorded" role="status">
      <span aria-hidden />
      <Trans>This session is recorded</Trans>
    </p>
  );
}
