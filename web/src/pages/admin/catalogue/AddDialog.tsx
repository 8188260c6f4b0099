import { t } from '@lingui/core/macro';
import { MultiSelect, Text } from '@mantine/core';
import { useForm } from '@mantine/form';
import { useQuery } from '@tanstack/react-query';
import { addFromCatalogue } from '../../../api/actions';
import { useAllowed } from '../../../api/auth';
import { groupsQuery } from '../../../api/queries';
import type { CatalogueEntry } from '../../../api/types';
import { showDone } from '../../../components/feedback';
import { FormDialog } from '../../../components/Form';

/** Adds an entry for the chosen groups. */
export function AddDialog({ entry, onClose }: { entry: CatalogueEntry; onClose: () => void }) {
  const allowed = useAllowed();
  const groups = useQuery({ ...groupsQuery, enabled: allowed('groups_view') });
  const form = useForm({ initialValues: { groups: [] as string[] } });
  const { friendly_name: workspace } = entry;
  return (
    <FormDialog
      title={t`Add ${workspace}`}
      form={form}
      submit={t`Add`}
      save={(values) => addFromCatalogue(entry.name, values.groups)}
      touched={['catalogue', 'images', 'groups', 'launcher']}
      repeatable
      onSaved={({ friendly_name: added }) => showDone(t`${added} was added. Agents get its image now.`)}
      onClose={onClose}
    >
      <Text size="sm">{entry.description}</Text>
      <MultiSelect
        label={t`Groups`}
        description={t`Their members may launch the workspace`}
        placeholder={form.getValues().groups.length === 0 ? 'All Users' : ''}
        searchable
        data={(groups.data ?? []).map(({ group_id, name }) => ({ value: group_id, label: name }))}
        {...form.getInputProps('groups')}
      />
    </FormDialog>
  );
}
