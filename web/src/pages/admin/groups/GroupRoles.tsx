import { t } from '@lingui/core/macro';
import { Trans } from '@lingui/react/macro';
import { Alert, Card, Checkbox, Group as Row, MultiSelect, Select, Skeleton, Stack, Text } from '@mantine/core';
import { useForm } from '@mantine/form';
import { useQuery, useQueryClient } from '@tanstack/react-query';
import { changeGroup } from '../../../api/actions';
import { messageOf } from '../../../api/client';
import { groupQuery, groupsQuery, rolesQuery, zonesQuery } from '../../../api/queries';
import type { Group, Role, RoleOfGroup } from '../../../api/types';
import { FormFrame } from '../../../components/Form';
import { useAllowed } from '../../../api/auth';
import { PermissionTitles } from '../PermissionsField';
import { scopeOf, withScope } from './roles';

/** The roles of the members of a group, each with its scope. */
export function GroupRoles({ group, disabled }: { group: Group; disabled: boolean }) {
  const roles = useQuery({ ...rolesQuery, refetchInterval: false });
  const queries = useQueryClient();
  const form = useForm({ initialValues: { roles: group.roles } });
  const { name } = group;
  if (!roles.data)
    return roles.error ? <Alert color="red">{messageOf(roles.error)}</Alert> : <Skeleton h={160} maw={760} />;
  const set = (name: Role['name'], assignment: RoleOfGroup | null) =>
    form.setFieldValue('roles', (now) => [
      ...now.filter(({ role }) => role !== name),
      ...(assignment ? [assignment] : []),
    ]);
  return (
    <Card withBorder className="surface" p="lg" maw={760}>
      <FormFrame
        form={form}
        save={(values) => changeGroup(group.group_id, values)}
        touched={['groups', 'me']}
        page={{
          saved: t`The roles were saved.`,
          read: () => queries.query({ ...groupQuery(group.group_id), staleTime: 0 }),
          valuesOf: ({ roles: assigned }) => ({ roles: assigned }),
          texts: { roles: (assigned) => rolesText(assigned, roles.data) },
        }}
        missing={form.values.roles.some((each) => scopeOf(each)?.length === 0) ? t`Choose the scope of each role.` : ''}
        repeatable
        readOnly={disabled}
      >
        <Text size="sm" c="dimmed">
          <Trans>
            The members of {name} have the permissions of these roles, in addition to the permissions of the group. You
            can only assign a role if you have its permissions, at least in its scope.
          </Trans>
        </Text>
        <Stack role="group" aria-label={t`Roles`} data-path="roles">
          {roles.data.map((role) => (
            <RoleFields
              key={role.name}
              role={role}
              assignment={form.values.roles.find((each) => each.role === role.name) ?? null}
              onChange={(assignment) => set(role.name, assignment)}
            />
          ))}
        </Stack>
      </FormFrame>
    </Card>
  );
}

function rolesText(assigned: RoleOfGroup[], roles: Role[]): string {
  const titles = assigned.map(({ role }) => roles.find(({ name }) => name === role)?.title ?? role);
  return titles.join(', ') || t`none`;
}

interface RoleProps {
  role: Role;
  assignment: RoleOfGroup | null;
  onChange: (assignment: RoleOfGroup | null) => void;
}

function RoleFields({ role, assignment, onChange }: RoleProps) {
  return (
    <Stack gap={6}>
      <Checkbox
        label={role.title}
        description={role.description}
        checked={assignment !== null}
        onChange={({ currentTarget }) => onChange(currentTarget.checked ? { role: role.name } : null)}
      />
      <Text size="xs" c="dimmed" ps={32}>
        <PermissionTitles codes={role.codes} />
      </Text>
      {assignment && role.scope && <Scope role={role} kind={role.scope} assignment={assignment} onChange={onChange} />}
    </Stack>
  );
}

function Scope({ role, kind, assignment, onChange }: RoleProps & { kind: 'zone' | 'group'; assignment: RoleOfGroup }) {
  const { title } = role;
  const ids = scopeOf(assignment);
  const choices = useChoices(kind);
  return (
    <Row ps={32} align="flex-start" grow>
      <Select
        label={t`Scope of ${title}`}
        allowDeselect={false}
        data={[
          { value: 'all', label: t`Whole installation` },
          { value: 'some', label: kind === 'zone' ? t`Selected zones` : t`Selected groups` },
        ]}
        value={ids ? 'some' : 'all'}
        onChange={(value) => onChange(withScope(role.name, kind, value === 'some' ? (ids ?? []) : null))}
      />
      {ids && (
        <MultiSelect
          label={kind === 'zone' ? t`Zones` : t`Groups`}
          description={kind === 'group' ? t`The role applies to the members of these groups` : undefined}
          inputWrapperOrder={['label', 'input', 'description', 'error']}
          searchable
          required
          data={choices}
          value={ids}
          onChange={(chosen) => onChange(withScope(role.name, kind, chosen))}
        />
      )}
    </Row>
  );
}

/** The zones or groups that the user may see, to choose from. */
function useChoices(kind: 'zone' | 'group') {
  const allowed = useAllowed();
  const zones = useQuery({ ...zonesQuery, enabled: kind === 'zone' && allowed('zones_view') });
  const groups = useQuery({ ...groupsQuery, enabled: kind === 'group' });
  return kind === 'zone'
    ? (zones.data ?? []).map(({ zone_id, zone_name }) => ({ value: zone_id, label: zone_name }))
    : (groups.data ?? []).map(({ group_id, name }) => ({ value: group_id, label: name }));
}
