import { t } from '@lingui/core/macro';
import { Trans } from '@lingui/react/macro';
import { Alert, Fieldset, NumberInput, Select, SimpleGrid, Switch, Text, TextInput } from '@mantine/core';
import { useForm } from '@mantine/form';
import { changeZone, createZone } from '../../../api/actions';
import { zonesQuery } from '../../../api/queries';
import type { Schemas, Zone } from '../../../api/types';
import { checksOf } from '../../../components/checks';
import { FormDialog } from '../../../components/Form';
import { changed } from '../../../components/saving';
import { useFreshItem } from '../../../components/useFreshItem';

type Fields = Required<Schemas['ZonePatch']>;

const STRATEGIES: Record<Fields['load_balancing_strategy'], string> = {
  'Least Load': t`Least Load: the Agent with the most room`,
  'Most Load': t`Most Load: the fullest Agent that still has room`,
  'Least Kasms': t`Least sessions: the Agent with the fewest sessions`,
  'Most Kasms': t`Most sessions: the Agent with the most sessions`,
};
const REQUEST_HOST = '$request_host$';
const NEW: Fields = {
  zone_name: '',
  allow_origin_domain: REQUEST_HOST,
  upstream_auth_address: REQUEST_HOST,
  load_balancing_strategy: 'Least Load',
  search_alternate_zones: true,
  proxy_connections: true,
  proxy_hostname: REQUEST_HOST,
  proxy_path: 'desktop',
  proxy_port: 443,
};

/** Edit a zone, or create one (`zone` is null). */
export function ZoneForm({ zone, onClose }: { zone: Zone | null; onClose: () => void }) {
  const form = useForm<Fields>({
    initialValues: zone ? fieldsOf(zone) : NEW,
    validate: checksOf('ZoneCreate'),
    validateInputOnChange: true,
  });
  const { allow_origin_domain, upstream_auth_address } = form.getValues();
  const dynamic = [allow_origin_domain, upstream_auth_address].some((value) => value.includes(REQUEST_HOST));
  const name = zone?.zone_name;
  const readAgain = useFreshItem(zonesQuery, ({ zone_id }) => zone_id === zone?.zone_id);
  return (
    <FormDialog
      title={name !== undefined ? t`Edit zone ${name}` : t`Create Zone`}
      submit={name !== undefined ? t`Save` : t`Create`}
      size="lg"
      repeatable={zone !== null}
      form={form}
      save={(values, before) => (zone ? changeZone(zone.zone_id, changed(before, values)) : createZone(values))}
      touched={['zones', 'staging-configs']}
      onClose={onClose}
      undo={
        zone
          ? {
              saved: t`Zone ${{ name: zone.zone_name }} was saved.`,
              read: readAgain,
              valuesOf: fieldsOf,
            }
          : undefined
      }
    >
      <TextInput
        label={t`Zone Name`}
        description={t`Letters, digits, dots, dashes and underscores`}
        required
        {...form.getInputProps('zone_name')}
      />
      <TextInput
        label={t`Allow Origin Domain`}
        description={t`Hosts whose pages may open streams of sessions, separated by commas`}
        required
        {...form.getInputProps('allow_origin_domain')}
      />
      <TextInput
        label={t`Upstream Auth Address`}
        description={t`host[:port] of the API, where Agents check whether a stream may be opened`}
        required
        {...form.getInputProps('upstream_auth_address')}
      />
      <Text size="xs" c="dimmed">
        <Trans>{REQUEST_HOST} stands for the host name in the address that the user opened.</Trans>
      </Text>
      {dynamic && (
        <Alert color="yellow" variant="light" role="status">
          <Trans>
            With {REQUEST_HOST}, no session of this zone can be staged, because a staged session starts before a user
            opens an address.
          </Trans>
        </Alert>
      )}
      <Select
        label={t`Load Balance Strategy`}
        description={t`The Agent that gets a new session`}
        data={Object.entries(STRATEGIES).map(([value, label]) => ({ value, label }))}
        allowDeselect={false}
        {...form.getInputProps('load_balancing_strategy')}
      />
      <Switch
        label={t`Search Alternate Zones`}
        description={t`Search other zones if this zone cannot serve a launch`}
        {...form.getInputProps('search_alternate_zones', { type: 'checkbox' })}
      />
      <Fieldset legend={t`Streams`}>
        <Switch
          label={t`Proxy Connections`}
          description={t`On: browsers reach sessions through the web gateway of this deployment. Off: browsers reach them through a gateway in the zone, at Proxy Hostname and Proxy Port.`}
          {...form.getInputProps('proxy_connections', { type: 'checkbox' })}
        />
        <SimpleGrid cols={{ base: 1, xs: 3 }} mt="md">
          <TextInput
            label={t`Proxy Hostname`}
            description={t`Only if Proxy Connections is off: the host of the gateway in the zone. $request_host$ stands for the edge gateway of the Agent. If the Agent has no edge gateway, $request_host$ stands for the host that the user opened`}
            required
            {...form.getInputProps('proxy_hostname')}
          />
          <TextInput
            label={t`Proxy Path`}
            description={t`Start of the path of each stream`}
            required
            {...form.getInputProps('proxy_path')}
          />
          <NumberInput
            label={t`Proxy Port`}
            description={t`Only if Proxy Connections is off: the port of the gateway in the zone`}
            required
            {...form.getInputProps('proxy_port')}
          />
        </SimpleGrid>
      </Fieldset>
    </FormDialog>
  );
}

function fieldsOf(zone: Zone): Fields {
  return Object.fromEntries(Object.keys(NEW).map((name) => [name, zone[name as keyof Zone]])) as Fields;
}
