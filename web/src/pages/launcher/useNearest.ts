import { t } from '@lingui/core/macro';
import { useQuery } from '@tanstack/react-query';
import { useMemo, useState } from 'react';
import type { LaunchChoices } from '../../api/actions';
import { measureRoundTrips, nearerZone, type Nearer } from '../../api/roundTrips';
import type { Schemas, Uuid } from '../../api/types';

const AGAIN_MS = 5 * 60_000;

/** The zone of a launch. */
export interface Nearest {
  choices: LaunchChoices;
  /** The zone to suggest, if the user may choose it. */
  suggested: Nearer | null;
  accepted: boolean;
  accept: (accepted: boolean) => void;
  labeled: (zoneId: Uuid, name: string) => string;
}

/** Measures the round trips to the zones when the launcher opens, and repeats the measurement from time to time. */
export function useNearest(options: Schemas['LaunchOptions'] | undefined): Nearest {
  const nearest = options?.nearest;
  const targets = nearest?.targets ?? [];
  const { data: measured } = useQuery({
    queryKey: ['round-trips', targets],
    queryFn: ({ signal }) => measureRoundTrips(targets, signal),
    enabled: targets.length > 1,
    staleTime: AGAIN_MS,
    refetchInterval: AGAIN_MS,
  });
  const [accepted, accept] = useState(false);
  return useMemo(() => {
    const found = nearest && measured ? nearerZone(nearest, measured) : null;
    const suggested =
      nearest?.mode === 'suggest' && options?.zones.some(({ zone_id }) => zone_id === found?.zone.zone_id)
        ? found
        : null;
    return {
      choices: {
        ...(measured && { round_trips_ms: measured }),
        ...(accepted && suggested && { zone_id: suggested.zone.zone_id }),
      },
      suggested,
      accepted,
      accept,
      labeled: (zoneId, name) => {
        const trip = measured?.[zoneId];
        if (trip === undefined) return name;
        const ms = Math.round(trip);
        return t`${name} · ${ms} ms away`;
      },
    };
  }, [nearest, options, measured, accepted]);
}
