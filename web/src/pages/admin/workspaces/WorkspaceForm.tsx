import { t } from '@lingui/core/macro';
import { useForm } from '@mantine/form';
import { useQuery, useQueryClient } from '@tanstack/react-query';
import { changeImage, createImage } from '../../../api/actions';
import { useAllowed } from '../../../api/auth';
import { agentsQuery, filterPoliciesQuery, groupsQuery, imageQuery, zonesQuery } from '../../../api/queries';
import type { Image } from '../../../api/types';
import { textOf } from '../../../components/changes';
import { FormFrame } from '../../../components/Form';
import { changed } from '../../../components/saving';
import { amountIn } from '../../../components/units';
import { namesOf } from '../users/UserForm';
import { bodyOf, CHECKS, fieldsOf, type Fields } from './fields';
import {
  AccessFields,
  ContainerFields,
  ConfigFields,
  GeneralFields,
  PageFields,
  PlacementFields,
  SessionFields,
} from './sections';

interface Props {
  /** Null = a new workspace. */
  image: Image | null;
  disabled?: boolean;
  /** After a new workspace was created. */
  onSaved?: (saved: Image) => void;
  onCancel?: () => void;
}

/** All fields of a workspace. Unchanged fields are not sent. */
export function WorkspaceForm({ image, disabled = false, onSaved, onCancel }: Props) {
  const form = useForm<Fields>({
    initialValues: fieldsOf(image),
    validate: CHECKS,
    validateInputOnChange: true,
  });
  const queries = useQueryClient();
  const texts = useTexts();
  const save = (fields: Fields, before: Fields) => {
    const body = bodyOf(fields);
    const changes = changed(bodyOf(before), body);
    const { name, friendly_name } = body;
    return image ? changeImage(image.image_id, changes) : createImage({ ...changes, name, friendly_name });
  };
  return (
    <FormFrame
      form={form}
      save={save}
      touched={['images', 'groups', 'launcher']}
      repeatable={image !== null}
      readOnly={disabled}
      submit={t`Add`}
      page={
        image
          ? {
              saved: t`The workspace was saved. Running sessions are not changed.`,
              read: () => queries.query({ ...imageQuery(image.image_id), staleTime: 0 }),
              valuesOf: fieldsOf,
              texts,
            }
          : undefined
      }
      {...(onSaved ? { onSaved } : {})}
      {...(onCancel ? { onCancel } : {})}
    >
      <GeneralFields form={form} image={image} />
      <ContainerFields form={form} />
      <PageFields form={form} />
      <AccessFields form={form} />
      <PlacementFields form={form} />
      <SessionFields form={form} />
      <ConfigFields form={form} />
    </FormFrame>
  );
}

/** The texts of changed sizes, times and ids. */
function useTexts() {
  const allowed = useAllowed();
  const groups = useQuery({ ...groupsQuery, enabled: allowed('groups_view') });
  const zones = useQuery({ ...zonesQuery, enabled: allowed('zones_view') });
  const agents = useQuery({ ...agentsQuery, enabled: allowed('agents_view') });
  const policies = useQuery({ ...filterPoliciesQuery, enabled: allowed('webfilters_view') });
  const size = (value: number | '') => (value === '' ? t`nothing` : amountIn(value, 'B'));
  return {
    cores: (value: number) => amountIn(value, 'cores'),
    memory: size,
    memory_limit: size,
    disk_limit_bytes: size,
    session_time_limit: (value: number | '') => (value === '' ? t`nothing` : amountIn(value, 's')),
    groups: (ids: string[]) => namesOf(ids, groups.data),
    zone_id: (id: string) => zones.data?.find(({ zone_id }) => zone_id === id)?.zone_name ?? textOf(id),
    server_id: (id: string) => agents.data?.find(({ agent_id }) => agent_id === id)?.hostname ?? textOf(id),
    filter_policy_id: (id: string) =>
      policies.data?.find(({ filter_policy_id }) => filter_policy_id === id)?.name ?? textOf(id),
  };
}
