import { useQuery } from '@tanstack/react-query';
import { zonesQuery } from '../api/queries';

/** The zones to choose from. `only` is the zone if there is only one, else empty. */
export function useZoneChoices() {
  const zones = useQuery(zonesQuery);
  const choices = (zones.data ?? []).map((zone) => ({ value: zone.zone_id, label: zone.zone_name }));
  const [first, second] = choices;
  return { choices, only: first && !second ? first.value : '' };
}
