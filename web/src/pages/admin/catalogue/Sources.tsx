import { plural, t } from '@lingui/core/macro';
import { Plural, Trans } from '@lingui/react/macro';
import { Anchor, Stack, Text, TextInput } from '@mantine/core';
import { useForm } from '@mantine/form';
import { IconWorld } from '@tabler/icons-react';
import { example } from '../../../components/example';
import { createCatalogue, deleteCatalogue, readCatalogue } from '../../../api/actions';
import { useAllowed } from '../../../api/auth';
import type { Catalogue } from '../../../api/types';
import { checksOf } from '../../../components/checks';
import { actionsColumn, timeColumn } from '../../../components/columns';
import { DataTable } from '../../../components/DataTable';
import { EmptyState, showDone } from '../../../components/feedback';
import { FormDialog } from '../../../components/Form';
import { RemoveAction, RowAction } from '../../../components/RowAction';
import { RowName } from '../../../components/RowLink';
import type { Column } from '../../../components/tableState';
import { useAction } from '../../../components/useAction';
import styles from './Catalogue.module.css';

/** The third-party catalogues. */
export function Sources({ sources }: { sources: Catalogue[] }) {
  const allowed = useAllowed();
  const again = useAction(readCatalogue, ['catalogue', 'catalogues'], t`The catalogue was not read`);
  const columns: Column<Catalogue>[] = [
    {
      key: 'name',
      title: t`Name`,
      value: (row) => row.name,
      render: (row) => <RowName>{row.name}</RowName>,
    },
    {
      key: 'url',
      title: t`Address`,
      value: (row) => row.list_url,
      render: (row) => (
        <Anchor href={row.list_url} size="sm" rel="noreferrer" target="_blank" className="anywhere">
          {row.list_url}
        </Anchor>
      ),
    },
    {
      key: 'entries',
      title: t`Entries`,
      value: (row) => row.entries,
      width: '35%',
      render: (row) => <State source={row} />,
    },
    timeColumn('looked', t`Last read`, (row) => row.looked),
    actionsColumn((row) => (
      <>
        {allowed('catalogues_create') && (
          <RowAction word="Read again" name={row.name} onClick={() => again.mutate(row.catalogue_id)} />
        )}
        {allowed('catalogues_delete') && <Remove source={row} />}
      </>
    )),
  ];
  return (
    <section aria-label={t`Third-party catalogues`}>
      <h2 className={styles.heading}>{t`Third-party catalogues`}</h2>
      <DataTable
        caption={t`Third-party catalogues`}
        list="third-party-catalogues"
        name="sources"
        query={{ data: sources, error: null }}
        columns={columns}
        rowKey={(row) => row.catalogue_id}
        sort="name"
        minWidth={760}
        empty={<EmptyState icon={IconWorld} title={t`No third-party catalogues`} />}
      />
    </section>
  );
}

function State({ source: { entries, left_out, error } }: { source: Catalogue }) {
  return (
    <Stack gap={2}>
      <Text size="sm">
        <Plural value={entries} one="# workspace" other="# workspaces" />
      </Text>
      {error && (
        <Text size="xs" className={`anywhere ${styles.failure}`}>
          {error}
        </Text>
      )}
      {left_out.length > 0 && (
        <details>
          <summary>
            <Text span size="xs" className="dimmed">
              <Trans>Omitted entries</Trans>
            </Text>
          </summary>
          {left_out.map((sentence, index) => (
            <Text key={index} size="xs" className="dimmed anywhere">
              {sentence}
            </Text>
          ))}
        </details>
      )}
    </Stack>
  );
}

function Remove({ source: { catalogue_id, name } }: { source: Catalogue }) {
  return (
    <RemoveAction
      word="Remove"
      noun={t`catalogue`}
      name={name}
      onConfirm={() => deleteCatalogue(catalogue_id)}
      touched={['catalogue', 'catalogues']}
    >
      <Trans>The entries of this catalogue are no longer shown. Workspaces that were added from it stay.</Trans>
    </RemoveAction>
  );
}

/** Add the list of another registry. */
export function CatalogueForm({ onClose }: { onClose: () => void }) {
  const form = useForm({
    initialValues: { name: '', list_url: '' },
    validate: checksOf('CatalogueCreate'),
    validateInputOnChange: true,
  });
  return (
    <FormDialog
      title={t`Add Catalogue`}
      form={form}
      submit={t`Add`}
      save={createCatalogue}
      touched={['catalogue', 'catalogues']}
      onSaved={({ name, entries }) =>
        showDone(t`${name} was added with ${plural(entries, { one: '# workspace', other: '# workspaces' })}.`)
      }
      onClose={onClose}
    >
      <TextInput
        label={t`Address`}
        description={t`The URL of a catalogue in the format of Kasm workspace registries, or of its list.json (schema 1.1)`}
        placeholder={example('https://registry.example.com/')}
        required
        data-autofocus
        {...form.getInputProps('list_url')}
      />
      <TextInput
        label={t`Name`}
        description={t`Lowercase letters, digits and dashes; the prefix of the names of its entries`}
        placeholder={example('example')}
        required
        {...form.getInputProps('name')}
      />
    </FormDialog>
  );
}
