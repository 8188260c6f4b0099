import { t } from '@lingui/core/macro';
import { Trans } from '@lingui/react/macro';
import { Card, Checkbox, Stack, Switch, Text, TextInput } from '@mantine/core';
import { useForm } from '@mantine/form';
import { useQueryClient } from '@tanstack/react-query';
import { IconSearch } from '@tabler/icons-react';
import { useState } from 'react';
import { changeGroup } from '../../../api/actions';
import { groupQuery } from '../../../api/queries';
import type { Group } from '../../../api/types';
import { FormFrame } from '../../../components/Form';
import { byArea, isPermissionFound, titlesText } from '../permissionAreas';
import styles from '../Permissions.module.css';
import { PermissionText, useGrantable, useKnownPermissions } from '../PermissionsField';

/** The permissions of the members of a group, by area, with a search. */
export function GroupPermissions({ group, disabled }: { group: Group; disabled: boolean }) {
  const queries = useQueryClient();
  const form = useForm({ initialValues: { permissions: group.permissions } });
  const known = useKnownPermissions();
  const [search, setSearch] = useState('');
  const [isOnlyGranted, setOnlyGranted] = useState(false);
  const { name } = group;
  return (
    <Card withBorder className="surface" p="lg" maw={760}>
      <Stack>
        <Text size="sm" className="dimmed">
          <Trans>
            Members of {name} have these permissions, and those of their other groups and roles. You can only grant
            permissions that you have. The permissions for sound, clipboard and files in sessions are in the tab
            Settings.
          </Trans>
        </Text>
        {/* Outside of the form, so that users who may not change the group can search too. */}
        <div className={styles.tools}>
          <TextInput
            className={styles.search}
            aria-label={t`Search permissions`}
            placeholder={t`Search permissions`}
            leftSection={<IconSearch size={16} aria-hidden />}
            value={search}
            onChange={(event) => setSearch(event.currentTarget.value)}
          />
          <Switch
            label={t`Granted only`}
            checked={isOnlyGranted}
            onChange={(event) => setOnlyGranted(event.currentTarget.checked)}
          />
        </div>
        <FormFrame
          form={form}
          save={(values) => changeGroup(group.group_id, values)}
          touched={['groups', 'me']}
          page={{
            saved: t`The permissions were saved.`,
            read: () => queries.query({ ...groupQuery(group.group_id), staleTime: 0 }),
            valuesOf: ({ permissions }) => ({ permissions }),
            texts: { permissions: (codes) => titlesText(codes, known) || t`none` },
          }}
          repeatable
          readOnly={disabled}
        >
          <Permissions
            value={form.values.permissions}
            saved={group.permissions}
            search={search}
            isOnlyGranted={isOnlyGranted}
            onChange={(permissions) => form.setFieldValue('permissions', permissions)}
          />
        </FormFrame>
      </Stack>
    </Card>
  );
}

interface Props {
  value: string[];
  saved: string[];
  /** The text that the shown permissions contain. */
  search: string;
  isOnlyGranted: boolean;
  onChange: (codes: string[]) => void;
}

function Permissions({ value, saved, search, isOnlyGranted, onChange }: Props) {
  const grantable = useGrantable(saved);
  const granted = new Set(value);
  const shown = grantable.filter(
    (each) => isPermissionFound(each, search) && (!isOnlyGranted || granted.has(each.code)),
  );
  // In the order of the server, so that a permission that is removed and added again is no change.
  const toggle = (code: string, isOn: boolean) => {
    const others = value.filter((each) => each !== code);
    onChange(isOn ? [...others, code].sort() : others);
  };
  return (
    <div role="group" aria-label={t`Permissions`} data-path="permissions">
      {byArea(shown).map(([area, permissions]) => (
        <section key={area} className={styles.area} aria-label={area}>
          <h2 className={styles.heading}>{area}</h2>
          {permissions.map((permission) => (
            <Checkbox
              key={permission.code}
              className={styles.row}
              label={<PermissionText permission={permission} />}
              checked={granted.has(permission.code)}
              onChange={(event) => toggle(permission.code, event.currentTarget.checked)}
            />
          ))}
        </section>
      ))}
      {shown.length === 0 && (
        <div className={styles.none}>
          <Trans>No permission matches.</Trans>
        </div>
      )}
    </div>
  );
}
