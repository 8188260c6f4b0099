import { t } from '@lingui/core/macro';
import { MultiSelect, type MultiSelectProps, Stack, Text } from '@mantine/core';
import { useQuery } from '@tanstack/react-query';
import { allowsEverywhere, useMe } from '../../api/auth';
import { permissionsQuery } from '../../api/queries';
import { permissionTitle } from '../../components/titles';

/** Permission codes with their descriptions. Users can only grant permissions that they have. */
export function PermissionsField(props: MultiSelectProps) {
  const me = useMe();
  const known = useQuery({ ...permissionsQuery, refetchInterval: false });
  const meaning = new Map(known.data?.map(({ code, description }) => [code, description]));
  const kept = new Set(props.defaultValue ?? props.value ?? []);
  const codes = [...meaning.keys()].filter((code) => allowsEverywhere(me, code) || kept.has(code));
  return (
    <MultiSelect
      label={t`Permissions`}
      searchable
      clearable
      clearButtonProps={{ 'aria-label': t`Remove all permissions` }}
      data={codes}
      renderOption={({ option, checked }) => (
        <Stack gap={0}>
          <Text size="sm" fw={600}>
            {checked ? `✓ ${option.value}` : option.value}
          </Text>
          <Text size="xs" c="dimmed">
            {meaning.get(option.value)}
          </Text>
        </Stack>
      )}
      {...props}
    />
  );
}

/** The titles of permissions; the codes are in the tooltip. */
export function PermissionTitles({ codes }: { codes: string[] }) {
  const known = useQuery({ ...permissionsQuery, refetchInterval: false });
  const titles = new Map(known.data?.map(({ code, description }) => [code, permissionTitle(description)]));
  return <span title={codes.join(', ')}>{codes.map((code) => titles.get(code) ?? code).join(', ')}</span>;
}
