import { t } from '@lingui/core/macro';
import { Trans } from '@lingui/react/macro';
import { Alert } from '@mantine/core';
import { useState } from 'react';
import { absolute } from '../../components/TimeAgo';
import { locale } from '../../language';

const SHORT = { hour: 'numeric', minute: '2-digit' } as const;

/** The notice that another user took a screenshot, and when. It stays until it is closed or replaced. */
export function Watched({ at }: { at: string | null }) {
  const [closed, setClosed] = useState<string | null>(null);
  if (!at || at === closed) return null;
  const time = timeOf(new Date(at));
  return (
    <Alert
      className="stage-notice"
      color="blue"
      role="status"
      withCloseButton
      closeButtonLabel={t`Close this notice`}
      onClose={() => setClosed(at)}
    >
      <Trans>
        An administrator took a screenshot of this session at{' '}
        <time dateTime={at} title={absolute(at)}>
          {time}
        </time>
        .
      </Trans>
    </Alert>
  );
}

/** The time of day, with the date if it is not today. */
function timeOf(time: Date): string {
  const today = time.toDateString() === new Date().toDateString();
  return today ? time.toLocaleTimeString(locale(), SHORT) : absolute(time.toISOString());
}
