import { t } from '@lingui/core/macro';
import { Trans } from '@lingui/react/macro';
import { Alert, Switch } from '@mantine/core';
import { IconMapPin } from '@tabler/icons-react';
import type { Nearest } from './useNearest';

/** The notice that another zone is nearer, if the user may choose it. */
export function NearerZone({ nearest: { suggested, accepted, accept } }: { nearest: Nearest }) {
  if (!suggested) return null;
  const { zone_name: zone } = suggested.zone;
  const { zone_name: current } = suggested.current;
  const [ms, currentMs] = [Math.round(suggested.ms), Math.round(suggested.currentMs)];
  return (
    <Alert variant="light" icon={<IconMapPin size={18} aria-hidden />} role="status">
      <Trans>
        Zone {zone} is nearer to you than zone {current}: {ms} ms instead of {currentMs} ms round trip.
      </Trans>
      <Switch
        size="sm"
        label={t`Launch in zone ${zone}`}
        checked={accepted}
        onChange={(event) => accept(event.currentTarget.checked)}
      />
    </Alert>
  );
}
