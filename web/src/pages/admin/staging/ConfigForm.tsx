import { plural, t } from '@lingui/core/macro';
import { Plural, Trans } from '@lingui/react/macro';
import { Fieldset, NumberInput, Select, SimpleGrid, Switch, Text } from '@mantine/core';
import { useForm } from '@mantine/form';
import { useQuery, useQueryClient } from '@tanstack/react-query';
import { useState } from 'react';
import { changeStagingConfig, createStagingConfig } from '../../../api/actions';
import { useAllowed } from '../../../api/auth';
import { groupsQuery, imagesQuery, launcherQuery, stagingConfigQuery } from '../../../api/queries';
import { useStagingPreview } from '../../../api/previews';
import { PERMISSION_FIELDS, type PermissionField, type Schemas, type StagingConfig } from '../../../api/types';
import { checksOf } from '../../../components/checks';
import { showDone } from '../../../components/feedback';
import { CostLine, Preview, RoomLine, UsersLine, WarningLine } from '../../../components/Preview';
import { useReturnFocus } from '../../../components/Dialog';
import { FormDialog } from '../../../components/Form';
import { changed } from '../../../components/saving';
import { useZoneChoices } from '../../../components/useZoneChoices';
import { settingTitle } from '../../../components/titles';
import { type Excluded, ExcludedUsers } from './ExcludedUsers';

type Permissions = Record<PermissionField, boolean>;
/** The fields of a config. Permissions that are not chosen get the values of group All Users. */
export type Fields = Pick<Schemas['StagingCreate'], 'zone_id' | 'image_id' | 'num_sessions' | 'expiration'> &
  Partial<Permissions>;

interface Props {
  /** Null = a new config. */
  config: StagingConfig | null;
  /** The first values of a new config. */
  first?: Fields | undefined;
  onClose: () => void;
}

/** Create New Config, and Edit. The form of another pool, for users that this one excludes, replaces the form. */
export function ConfigForm({ config, first, onClose }: Props) {
  const [other, setOther] = useState<Fields | null>(null);
  useReturnFocus();
  return other ? (
    <OneForm key={JSON.stringify(other)} config={null} first={other} onClose={onClose} onAnother={setOther} />
  ) : (
    <OneForm config={config} first={first} onClose={onClose} onAnother={setOther} />
  );
}

function OneForm({ config, first, onClose, onAnother }: Props & { onAnother: (first: Fields) => void }) {
  const { choices: zones, only } = useZoneChoices();
  const images = useImageChoices(config);
  const form = useForm<Fields>({
    initialValues: first ?? fieldsOf(config),
    validate: checksOf('StagingCreate'),
    validateInputOnChange: true,
  });
  const defaults = useDefaultPermissions(config);
  const { zone_id, image_id } = form.getValues();
  const queries = useQueryClient();
  const mayCreate = useAllowed()('staging_create');
  const zone = zone_id || only;
  const values = { ...defaults, ...form.getValues(), zone_id: zone };
  const asked = { ...values, staging_config_id: config?.staging_config_id ?? null };
  const isComplete = zone && image_id && form.isValid();
  const preview = useStagingPreview(isComplete ? asked : null);
  return (
    <FormDialog
      title={config ? t`Edit Config` : t`Create New Config`}
      submit={config ? t`Save` : t`Submit`}
      size="lg"
      repeatable={config !== null}
      form={form}
      save={(values, before) =>
        config
          ? changeStagingConfig(config.staging_config_id, changed(before, values))
          : createStagingConfig({ ...values, zone_id: zone })
      }
      touched={['staging-configs', 'preview']}
      onSaved={(saved) => config === null && announce(saved)}
      onClose={onClose}
      missing={missingOf(zone, image_id)}
      undo={
        config
          ? {
              saved: t`The config was saved.`,
              // The number of users is not a value of the form.
              read: async () => ({
                ...(await queries.query({ ...stagingConfigQuery(config.staging_config_id), staleTime: 0 })),
                matching_users: 0,
              }),
              valuesOf: fieldsOf,
            }
          : undefined
      }
    >
      <SimpleGrid cols={{ base: 1, xs: 2 }}>
        <Select
          label={t`Deployment Zone`}
          description={t`The zone in which the sessions run`}
          placeholder={t`Choose a zone`}
          required
          allowDeselect={false}
          disabled={config !== null}
          data={zones}
          {...form.getInputProps('zone_id')}
          value={zone || null}
        />
        <Select
          label={t`Image`}
          description={t`The workspace whose sessions are kept ready`}
          placeholder={t`Choose a workspace`}
          required
          allowDeselect={false}
          searchable
          disabled={config !== null}
          data={images}
          {...form.getInputProps('image_id')}
          value={image_id || null}
        />
        <NumberInput
          label={t`Desired Sessions`}
          description={t`The number of sessions to keep ready`}
          withAsterisk
          aria-required
          {...form.getInputProps('num_sessions')}
        />
        <NumberInput
          label={t`Expiration (Hours)`}
          description={t`Unassigned sessions are replaced after this time`}
          withAsterisk
          aria-required
          {...form.getInputProps('expiration')}
        />
      </SimpleGrid>
      {defaults ? (
        <PermissionSwitches
          values={{ ...defaults, ...chosen(form.getValues()) }}
          onChange={(field, value) => form.setFieldValue(field, value)}
        />
      ) : (
        <Text size="sm" c="dimmed">
          <Trans>The sessions have the permissions of group All Users. You can change them afterwards.</Trans>
        </Text>
      )}
      <Preview>
        {preview && (
          <StagingLines
            preview={preview}
            wanted={config ? 0 : form.getValues().num_sessions}
            onCreate={mayCreate ? (permissions) => onAnother({ ...values, ...permissions }) : undefined}
          />
        )}
      </Preview>
    </FormDialog>
  );
}

interface LinesProps {
  preview: Schemas['StagingPreview'];
  /** The number of new sessions. */
  wanted: number;
  onCreate: ((permissions: NonNullable<Excluded['permissions']>) => void) | undefined;
}

/** The room and the cost of the sessions, the users that the pool serves, and those that it leaves out. */
function StagingLines({ preview, wanted, onCreate }: LinesProps) {
  const { room, cores, memory, users, excluded, warnings } = preview;
  const served = users - excluded.reduce((sum, each) => sum + each.users, 0);
  return (
    <>
      <RoomLine room={room} wanted={wanted} />
      {cores > 0 && <CostLine cores={cores} memory={memory} />}
      <UsersLine users={served}>
        <Trans>
          {served} of <Plural value={users} one="# user" other="# users" /> match
        </Trans>
      </UsersLine>
      <ExcludedUsers excluded={excluded} onCreate={onCreate} />
      {warnings.map((warning) => (
        <WarningLine key={warning}>{warning}</WarningLine>
      ))}
    </>
  );
}

/** What to choose before the config can be saved. */
function missingOf(zone: string, image: string): string {
  if (!zone && !image) return t`Choose a zone and a workspace.`;
  if (!zone) return t`Choose a zone.`;
  return image ? '' : t`Choose a workspace.`;
}

/** The fields of a config; of a new one if it is null. */
export function fieldsOf(config: StagingConfig | null): Fields {
  return {
    zone_id: config?.zone_id ?? '',
    image_id: config?.image_id ?? '',
    num_sessions: config?.num_sessions ?? 1,
    expiration: config?.expiration ?? 24,
    ...(config && permissionsOf(config)),
  };
}

/** The workspaces to choose from: all of them, or those that the user may launch. */
function useImageChoices(config: StagingConfig | null) {
  const mayView = useAllowed()('images_view');
  const all = useQuery({ ...imagesQuery, enabled: mayView && config === null });
  const own = useQuery({ ...launcherQuery, enabled: !mayView && config === null });
  if (config) return [{ value: config.image_id, label: config.image_friendly_name }];
  const choices = (all.data ?? []).map(({ image_id, friendly_name, enabled }) => ({
    value: image_id,
    label: enabled ? friendly_name : t`${{ workspace: friendly_name }} (disabled)`,
  }));
  return mayView
    ? choices
    : (own.data ?? []).map(({ image_id, friendly_name }) => ({ value: image_id, label: friendly_name }));
}

interface SwitchesProps {
  values: Permissions;
  onChange: (field: PermissionField, value: boolean) => void;
}

/** The descriptions of permissions whose titles do not contain a direction. */
const DIRECTIONS: Partial<Record<PermissionField, string>> = {
  allow_kasm_clipboard_down: t`Copy from the session to the local computer`,
  allow_kasm_clipboard_up: t`Copy from the local computer to the session`,
};

function PermissionSwitches({ values, onChange }: SwitchesProps) {
  return (
    <Fieldset legend={t`Default permissions`}>
      <Text size="xs" c="dimmed" mb="sm">
        <Trans>
          All sessions of the pool have these permissions, which are fixed when a container is created. A user gets a
          staged session only if the settings of the user’s groups allow exactly the same (Groups, tab Settings).
        </Trans>
      </Text>
      <SimpleGrid cols={{ base: 1, xs: 2 }} spacing="xs">
        {PERMISSION_FIELDS.map((field) => (
          <Switch
            key={field}
            label={t`Allow ${{ permission: settingTitle(field) }}`}
            description={DIRECTIONS[field]}
            checked={values[field]}
            onChange={(event) => onChange(field, event.currentTarget.checked)}
          />
        ))}
      </SimpleGrid>
    </Fieldset>
  );
}

/** The permissions that were changed in the form; the server keeps the others. */
function chosen(fields: Fields): Partial<Permissions> {
  const pairs = PERMISSION_FIELDS.flatMap((name) => (fields[name] === undefined ? [] : [[name, fields[name]]]));
  return Object.fromEntries(pairs) as Partial<Permissions>;
}

/**
 * The permissions of the config. For a new config those of group All Users, which are the defaults of the server; null if
 * the user may not see this group.
 */
function useDefaultPermissions(config: StagingConfig | null): Permissions | null {
  const allowed = useAllowed()('groups_view');
  const groups = useQuery({ ...groupsQuery, enabled: allowed && config === null });
  const settings = groups.data?.find((group) => group.name === 'All Users')?.settings;
  const source: Partial<Record<PermissionField, unknown>> | undefined = config ?? settings;
  if (!source) return null;
  return permissionsOf(source);
}

function permissionsOf(source: Partial<Record<PermissionField, unknown>>): Permissions {
  return Object.fromEntries(PERMISSION_FIELDS.map((field) => [field, source[field] === true])) as Permissions;
}

/** The number of users that the pool serves; the form shows the warnings itself. */
function announce({ warning, matching_users: matching }: Schemas['StagingSaved']): void {
  if (!warning) showDone(t`The config was saved; it serves ${plural(matching, { one: '# user', other: '# users' })}.`);
}
