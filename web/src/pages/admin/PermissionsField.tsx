import { t } from '@lingui/core/macro';
import { type ComboboxItem, Code, isOptionsGroup, MultiSelect, type MultiSelectProps } from '@mantine/core';
import { useQuery } from '@tanstack/react-query';
import { IconCheck } from '@tabler/icons-react';
import { allowsEverywhere, useMe } from '../../api/auth';
import { permissionsQuery } from '../../api/queries';
import type { Schemas } from '../../api/types';
import { Marked } from '../../components/Marked';
import { permissionTitle } from '../../components/titles';
import { byArea, detailsOf, isPermissionFound, titlesText } from './permissionAreas';
import styles from './Permissions.module.css';

type Permission = Schemas['PermissionView'];

/** All permissions of this version. */
export function useKnownPermissions(): Permission[] | undefined {
  return useQuery({ ...permissionsQuery, refetchInterval: false }).data;
}

/** The permissions that the user can grant, and those of `kept`, which the user can remove. */
export function useGrantable(kept: string[]): Permission[] {
  const me = useMe();
  const known = useKnownPermissions() ?? [];
  return known.filter(({ code }) => allowsEverywhere(me, code) || kept.includes(code));
}

/** Permissions to choose from, by area. Users can only grant permissions that they have. */
export function PermissionsField(props: MultiSelectProps) {
  const grantable = useGrantable(props.defaultValue ?? props.value ?? []);
  const byCode = new Map(grantable.map((each) => [each.code, each]));
  const isFound = ({ value }: ComboboxItem, search: string) => {
    const permission = byCode.get(value);
    return permission !== undefined && isPermissionFound(permission, search);
  };
  return (
    <MultiSelect
      label={t`Permissions`}
      searchable
      clearable
      clearButtonProps={{ 'aria-label': t`Remove all permissions` }}
      nothingFoundMessage={t`No permission matches.`}
      data={byArea(grantable).map(([group, permissions]) => ({
        group,
        items: permissions.map(({ code, description }) => ({ value: code, label: permissionTitle(description) })),
      }))}
      filter={({ options, search }) =>
        options.flatMap((option) => {
          if (!isOptionsGroup(option)) return [];
          const items = option.items.filter((item) => isFound(item, search));
          return items.length > 0 ? [{ ...option, items }] : [];
        })
      }
      renderOption={({ option, checked }) => (
        <div className={styles.option}>
          <PermissionText permission={byCode.get(option.value) ?? { code: option.value, description: option.label }} />
          {checked && <IconCheck className={styles.check} size={16} aria-hidden />}
        </div>
      )}
      {...props}
    />
  );
}

/** The title of a permission with its code, and the details of its description. */
export function PermissionText({ permission: { code, description } }: { permission: Permission }) {
  const title = permissionTitle(description);
  const details = detailsOf(description);
  return (
    <div>
      <div className={styles.head}>
        <span className={styles.title}>{title}</span>
        <Code className={styles.code}>{code}</Code>
      </div>
      {details && (
        <div className={styles.description}>
          <Marked text={details} />
        </div>
      )}
    </div>
  );
}

/** The titles of permissions; the codes are in the tooltip. */
export function PermissionTitles({ codes }: { codes: string[] }) {
  return <span title={codes.join(', ')}>{titlesText(codes, useKnownPermissions())}</span>;
}
