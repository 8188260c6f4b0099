import { t } from '@lingui/core/macro';
import { Trans } from '@lingui/react/macro';
import { Alert, Button, SimpleGrid, Skeleton, Stack } from '@mantine/core';
import { useQuery } from '@tanstack/react-query';
import { IconBuildingStore, IconWorldPlus } from '@tabler/icons-react';
import { useState } from 'react';
import { useAllowed } from '../../../api/auth';
import { catalogueQuery, cataloguesQuery, imagesQuery } from '../../../api/queries';
import type { CatalogueEntry } from '../../../api/types';
import { EmptyState, StaleBanner } from '../../../components/feedback';
import { PageHeader } from '../../../components/PageHeader';
import { Categories, SearchField, useSearch } from '../../../components/Search';
import { AddDialog } from './AddDialog';
import { CatalogueCard } from './CatalogueCard';
import { CatalogueForm, Sources } from './Sources';
import styles from './Catalogue.module.css';

/** The interval of updates while an Agent pulls an image. */
const FOLLOW_MS = 2000;

const COLUMNS = { base: 1, sm: 2, lg: 3, xl: 4 };

/** Workspaces → Catalogue: the recipes of Greenroom and third-party catalogues. */
export function Catalogue() {
  const allowed = useAllowed();
  const entries = useQuery(catalogueQuery);
  const images = useQuery({
    ...imagesQuery,
    refetchInterval: ({ state }) =>
      state.data?.some(({ agents }) => agents.some((each) => each.state === 'pulling')) ? FOLLOW_MS : 5000,
  });
  const sources = useQuery({ ...cataloguesQuery, enabled: allowed('catalogues_view') });
  const [chosen, setChosen] = useState<CatalogueEntry | null>(null);
  const [subscribes, setSubscribes] = useState(false);
  const found = useSearch(entries.data ?? [], (entry) => [entry.friendly_name, entry.name, entry.description]);
  const { wanted } = found;
  return (
    <Stack gap="md">
      <PageHeader
        title={t`Catalogue`}
        actions={
          <>
            <SearchField label={t`Search the catalogue`} of={found} />
            {allowed('catalogues_create') && (
              <Button
                variant="default"
                leftSection={<IconWorldPlus size={16} aria-hidden />}
                onClick={() => setSubscribes(true)}
              >
                <Trans>Add Catalogue</Trans>
              </Button>
            )}
          </>
        }
      >
        <Trans>Add a workspace with one click. Agents build or pull its image automatically.</Trans>
      </PageHeader>
      <StaleBanner error={entries.error ?? images.error} hasData={entries.data !== undefined} />
      <Unreadable sources={sources.data ?? []} />
      <Categories things={entries.data ?? []} of={found} />
      {entries.isPending && (
        <SimpleGrid cols={COLUMNS} spacing="md">
          {[0, 1, 2, 3, 4, 5].map((index) => (
            <Skeleton key={index} className={styles.loading} />
          ))}
        </SimpleGrid>
      )}
      <SimpleGrid cols={COLUMNS} spacing="md" role="list" aria-label={t`Entries`}>
        {found.shown.map((entry) => (
          <CatalogueCard
            key={entry.name}
            entry={entry}
            image={images.data?.find(({ image_id }) => image_id === entry.image_id)}
            onAdd={() => setChosen(entry)}
          />
        ))}
      </SimpleGrid>
      {entries.data && found.shown.length === 0 && (
        <EmptyState icon={IconBuildingStore} title={t`No entry of the catalogue matches “${wanted}”`} />
      )}
      {sources.data && sources.data.length > 0 && <Sources sources={sources.data} />}
      {chosen && <AddDialog entry={chosen} onClose={() => setChosen(null)} />}
      {subscribes && <CatalogueForm onClose={() => setSubscribes(false)} />}
    </Stack>
  );
}

function Unreadable({ sources }: { sources: { name: string; error: string }[] }) {
  const failed = sources.filter(({ error }) => error);
  if (failed.length === 0) return null;
  return (
    <Alert color="yellow" variant="light" title={t`Some catalogues could not be read`}>
      {failed.map(({ name, error }) => (
        <div key={name}>
          {name}: {error}
        </div>
      ))}
    </Alert>
  );
}
