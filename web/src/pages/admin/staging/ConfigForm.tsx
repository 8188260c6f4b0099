import {
  Alert,
  Button,
  Fieldset,
  Group,
  Modal,
  NumberInput,
  Select,
  SimpleGrid,
  Stack,
  Switch,
  Text,
} from '@mantine/core';
import { useMutation, useQuery, useQueryClient } from '@tanstack/react-query';
import { useState } from 'react';
import { messageOf } from '../../../api/client';
import { changeStagingConfig, createStagingConfig, groupsQuery, imagesQuery, zonesQuery } from '../../../api/queries';
import { PERMISSION_FIELDS, type PermissionField, type Schemas, type StagingConfig } from '../../../api/types';
import { showDone } from '../../../components/feedback';
import { counted } from '../../../components/format';
import { PERMISSION_LABELS } from './permissions';

interface Props {
  opened: boolean;
  onClose: () => void;
  /** The config to change; null = a new one. */
  config: StagingConfig | null;
}

/** Create New Config, and Edit: the fields of the seed page. */
export function ConfigForm({ opened, onClose, config }: Props) {
  return (
    <Modal
      opened={opened}
      onClose={onClose}
      size="lg"
      title={<Text fw={650}>{config ? 'Edit Config' : 'Create New Config'}</Text>}
    >
      <Form config={config} onClose={onClose} />
    </Modal>
  );
}

function Form({ config, onClose }: Omit<Props, 'opened'>) {
  const zones = useQuery(zonesQuery);
  const images = useQuery(imagesQuery);
  const [zoneId, setZoneId] = useState<string | null>(config?.zone_id ?? null);
  const [imageId, setImageId] = useState<string | null>(config?.image_id ?? null);
  const [desired, setDesired] = useState<number | string>(config?.num_sessions ?? 1);
  const [expiration, setExpiration] = useState<number | string>(config?.expiration ?? 24);
  const [changed, setChanged] = useState<Partial<Permissions>>({});
  const defaults = useDefaultPermissions(config);
  const zone = zoneId ?? onlyOne(zones.data?.map((each) => each.zone_id));
  const save = useSave(config, onClose);
  const complete = zone && imageId && typeof desired === 'number' && typeof expiration === 'number';

  const submit = () => {
    if (!complete) return;
    save.mutate({ zone_id: zone, image_id: imageId, num_sessions: desired, expiration, ...changed });
  };
  return (
    <form
      onSubmit={(event) => {
        event.preventDefault();
        submit();
      }}
    >
      <Stack>
        {save.isError && (
          <Alert color="red" variant="light" role="alert" title="Not saved">
            {messageOf(save.error)}
          </Alert>
        )}
        <SimpleGrid cols={{ base: 1, xs: 2 }}>
          <Select
            label="Deployment Zone"
            placeholder="Choose a zone"
            required
            allowDeselect={false}
            disabled={config !== null}
            data={(zones.data ?? []).map((each) => ({ value: each.zone_id, label: each.zone_name }))}
            value={zone}
            onChange={setZoneId}
          />
          <Select
            label="Image"
            placeholder="Choose an image"
            required
            allowDeselect={false}
            searchable
            disabled={config !== null}
            data={(images.data ?? []).map((each) => ({
              value: each.image_id,
              label: each.enabled ? each.friendly_name : `${each.friendly_name} (disabled)`,
            }))}
            value={imageId}
            onChange={setImageId}
          />
          <NumberInput
            label="Desired Sessions"
            description="Kept ready at any time"
            required
            min={0}
            max={10_000}
            allowDecimal={false}
            value={desired}
            onChange={setDesired}
          />
          <NumberInput
            label="Expiration (Hours)"
            description="Unassigned sessions are renewed after this"
            required
            min={0.001}
            max={87_600}
            decimalScale={3}
            value={expiration}
            onChange={setExpiration}
          />
        </SimpleGrid>
        <PermissionSwitches
          values={{ ...defaults, ...changed }}
          onChange={(field, value) => setChanged((before) => ({ ...before, [field]: value }))}
        />
        <Group justify="flex-end">
          <Button variant="default" onClick={onClose}>
            Cancel
          </Button>
          <Button type="submit" loading={save.isPending} disabled={!complete}>
            Submit
          </Button>
        </Group>
      </Stack>
    </form>
  );
}

type Permissions = Record<PermissionField, boolean>;

interface SwitchesProps {
  values: Permissions;
  onChange: (field: PermissionField, value: boolean) => void;
}

function PermissionSwitches({ values, onChange }: SwitchesProps) {
  return (
    <Fieldset legend="Default permissions">
      <Text size="xs" c="dimmed" mb="sm">
        They are fixed when a container is created: a user gets a staged session only where the user’s own permissions
        are exactly these.
      </Text>
      <SimpleGrid cols={{ base: 1, xs: 2 }} spacing="xs">
        {PERMISSION_FIELDS.map((field) => (
          <Switch
            key={field}
            label={PERMISSION_LABELS[field]}
            checked={values[field]}
            onChange={(event) => onChange(field, event.currentTarget.checked)}
          />
        ))}
      </SimpleGrid>
    </Fieldset>
  );
}

/** Those of the config; for a new one those of group All Users, which the server takes for what is left out. */
function useDefaultPermissions(config: StagingConfig | null): Permissions {
  const groups = useQuery({ ...groupsQuery, enabled: config === null });
  const settings = groups.data?.find((group) => group.name === 'All Users')?.settings;
  const source: Partial<Record<PermissionField, unknown>> = config ?? settings ?? {};
  return Object.fromEntries(PERMISSION_FIELDS.map((field) => [field, source[field] === true])) as Permissions;
}

function onlyOne(ids: string[] | undefined): string | null {
  return ids?.length === 1 ? (ids[0] ?? null) : null;
}

function useSave(config: StagingConfig | null, onDone: () => void) {
  const queries = useQueryClient();
  return useMutation({
    mutationFn: (body: Schemas['StagingCreate']) =>
      config ? changeStagingConfig(config.staging_config_id, body) : createStagingConfig(body),
    onSuccess: async (saved) => {
      await queries.invalidateQueries({ queryKey: ['staging-configs'] });
      onDone();
      announce(saved);
    },
  });
}

/** What the server says about who will get sessions of the pool. */
function announce({ warning, matching_users: matching }: Schemas['StagingSaved']): void {
  if (warning) showDone(warning, 'yellow');
  else showDone(`The config was saved; it serves ${counted(matching, 'user')}.`);
}
