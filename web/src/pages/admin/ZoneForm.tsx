import { Alert, Button, Group, Modal, Select, Stack, Switch, Text, TextInput } from '@mantine/core';
import { useMutation, useQueryClient } from '@tanstack/react-query';
import { useState } from 'react';
import { messageOf } from '../../api/client';
import { changeZone } from '../../api/queries';
import type { Schemas, Zone } from '../../api/types';

type ZonePatch = Schemas['ZonePatch'];

const STRATEGIES = ['Least Load', 'Most Load', 'Least Kasms', 'Most Kasms'] as const;
const REQUEST_HOST = '$request_host$';

/** Edit a zone. What is not changed is not sent. */
export function ZoneForm({ zone, onClose }: { zone: Zone; onClose: () => void }) {
  const queries = useQueryClient();
  const [origin, setOrigin] = useState(zone.allow_origin_domain);
  const [upstream, setUpstream] = useState(zone.upstream_auth_address);
  const [strategy, setStrategy] = useState(zone.load_balancing_strategy);
  const [alternate, setAlternate] = useState(zone.search_alternate_zones);
  const save = useMutation({
    mutationFn: () =>
      changeZone(
        zone.zone_id,
        changes(zone, {
          allow_origin_domain: origin,
          upstream_auth_address: upstream,
          load_balancing_strategy: STRATEGIES.find((each) => each === strategy),
          search_alternate_zones: alternate,
        }),
      ),
    onSuccess: async () => {
      await queries.invalidateQueries({ queryKey: ['zones'] });
      onClose();
    },
  });
  return (
    <Modal opened onClose={onClose} size="lg" title={<Text fw={650}>Edit zone {zone.zone_name}</Text>}>
      <form
        onSubmit={(event) => {
          event.preventDefault();
          save.mutate();
        }}
      >
        <Stack>
          {save.isError && (
            <Alert color="red" variant="light" role="alert" title="Not saved">
              {messageOf(save.error)}
            </Alert>
          )}
          <TextInput
            label="Allow Origin Domain"
            description="Hosts, separated by commas, whose pages may open a session’s stream"
            required
            value={origin}
            onChange={(event) => setOrigin(event.currentTarget.value)}
          />
          <TextInput
            label="Upstream Auth Address"
            description="host[:port] at which the Agents reach this installation’s API"
            required
            value={upstream}
            onChange={(event) => setUpstream(event.currentTarget.value)}
          />
          {[origin, upstream].some((value) => value.includes(REQUEST_HOST)) && (
            <Alert color="yellow" variant="light" role="status">
              With {REQUEST_HOST} no session of this zone can be staged: a staged session has no request to take the
              host from.
            </Alert>
          )}
          <Select
            label="Load Balance Strategy"
            data={[...STRATEGIES]}
            allowDeselect={false}
            value={strategy}
            onChange={(value) => value && setStrategy(value)}
          />
          <Switch
            label="Search Alternate Zones"
            description="Look in other zones when this one cannot serve a launch"
            checked={alternate}
            onChange={(event) => setAlternate(event.currentTarget.checked)}
          />
          <Group justify="flex-end">
            <Button variant="default" onClick={onClose}>
              Cancel
            </Button>
            <Button type="submit" loading={save.isPending}>
              Submit
            </Button>
          </Group>
        </Stack>
      </form>
    </Modal>
  );
}

function changes(zone: Zone, wanted: ZonePatch): ZonePatch {
  return Object.fromEntries(Object.entries(wanted).filter(([name, value]) => zone[name as keyof Zone] !== value));
}
