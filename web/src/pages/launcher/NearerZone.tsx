import { Alert, Switch } from '@mantine/core';
import { IconMapPin } from '@tabler/icons-react';
import type { Nearest } from './useNearest';

/** The notice that another zone is nearer, if the user may choose it. */
export function NearerZone({ nearest: { suggested, accepted, accept } }: { nearest: Nearest }) {
  if (!suggested) return null;
  const { zone, ms, current, currentMs } = suggested;
  return (
    <Alert variant="light" icon={<IconMapPin size={18} aria-hidden />} role="status">
      Zone {zone.zone_name} is nearer to you than zone {current.zone_name}: {Math.round(ms)} ms instead of{' '}
      {Math.round(currentMs)} ms round trip.
      <Switch
        size="sm"
        label={`Launch in zone ${zone.zone_name}`}
        checked={accepted}
        onChange={(event) => accept(event.currentTarget.checked)}
      />
    </Alert>
  );
}
