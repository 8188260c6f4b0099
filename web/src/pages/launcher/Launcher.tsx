import { Alert, Chip, Group, SimpleGrid, Skeleton, Stack, TextInput, Title } from '@mantine/core';
import { useHotkeys } from '@mantine/hooks';
import { useMutation, useQuery, useQueryClient } from '@tanstack/react-query';
import { IconApps, IconSearch } from '@tabler/icons-react';
import { useRef, useState } from 'react';
import { useNavigate } from 'react-router';
import { useAllowed } from '../../api/auth';
import { messageOf, retryTemporary } from '../../api/client';
import { launchSession, newLaunch } from '../../api/actions';
import { launcherQuery, launchOptionsQuery, mySessionsQuery } from '../../api/queries';
import type { LauncherImage } from '../../api/types';
import { EmptyState, StaleBanner } from '../../components/feedback';
import { PageHeader } from '../../components/PageHeader';
import { useAddressText } from '../../components/tableState';
import { SharedWithMe } from '../share/SharedWithMe';
import { hasChoices, LaunchDialog } from './LaunchDialog';
import { NearerZone } from './NearerZone';
import { RunningSessions } from './RunningSessions';
import { useNearest } from './useNearest';
import { WorkspaceTile } from './WorkspaceTile';

/** The workspaces a person may start, with those already running first. */
export function Launcher() {
  const images = useQuery(launcherQuery);
  const sessions = useQuery(mySessionsQuery);
  const [search, setSearch] = useAddressText('q');
  const searchRef = useRef<HTMLInputElement>(null);
  useHotkeys([['/', () => searchRef.current?.focus()]]);
  const launch = useLaunch();
  const options = useQuery(launchOptionsQuery);
  const nearest = useNearest(options.data);
  const [chosen, setChosen] = useState<LauncherImage | null>(null);
  const [category, setCategory] = useAddressText('category');
  const categories = [...new Set((images.data ?? []).flatMap((image) => image.categories))].sort();
  const shown = (images.data ?? []).filter(
    (image) => matches(image, search) && (!category || image.categories.includes(category)),
  );

  return (
    <Stack gap="lg">
      <PageHeader
        title="Workspaces"
        actions={
          <TextInput
            ref={searchRef}
            w={260}
            aria-label="Search workspaces"
            placeholder="Search"
            leftSection={<IconSearch size={16} aria-hidden />}
            value={search}
            onChange={(event) => setSearch(event.currentTarget.value)}
          />
        }
      >
        Choose what to work in; it opens in this window.
      </PageHeader>
      <StaleBanner error={images.error ?? sessions.error} hasData={images.data !== undefined} />
      {launch.isError && (
        <Alert
          ref={intoView}
          color="red"
          variant="light"
          role="alert"
          title="Not started"
          withCloseButton
          closeButtonLabel="Dismiss"
          onClose={launch.reset}
        >
          {messageOf(launch.error)}
        </Alert>
      )}
      {(sessions.data?.length ?? 0) > 0 && (
        <RunningSessions sessions={sessions.data ?? []} images={images.data ?? []} />
      )}
      <SharedWithMe />
      <section aria-label="Start a workspace">
        {(sessions.data?.length ?? 0) > 0 && (
          <Title order={2} fz={16} mb="sm">
            Start another
          </Title>
        )}
        <NearerZone nearest={nearest} />
        {categories.length > 1 && <Categories all={categories} chosen={category} onChoose={setCategory} />}
        <SimpleGrid cols={{ base: 1, xs: 2, sm: 3, lg: 4 }} spacing="md">
          {images.isPending && [0, 1, 2, 3].map((index) => <Skeleton key={index} h={132} radius="md" />)}
          {shown.map((image) => (
            <WorkspaceTile
              key={image.image_id}
              image={image}
              busy={launch.isPending && launch.variables.imageId === image.image_id}
              disabled={launch.isPending}
              onLaunch={() => launch.mutate(newLaunch(image.image_id, nearest.choices))}
              onChoose={hasChoices(image, options.data) ? () => setChosen(image) : undefined}
            />
          ))}
        </SimpleGrid>
        {images.data && shown.length === 0 && <Nothing search={search || category} />}
      </section>
      {chosen && options.data && (
        <LaunchDialog image={chosen} options={options.data} nearest={nearest} onClose={() => setChosen(null)} />
      )}
    </Stack>
  );
}

/** On a phone the tile that was pressed may be far below what is said of it. */
function intoView(element: HTMLElement | null) {
  element?.scrollIntoView({ block: 'center' });
}

function useLaunch() {
  const navigate = useNavigate();
  const queries = useQueryClient();
  return useMutation({
    mutationFn: launchSession,
    retry: retryTemporary,
    onSuccess: async ({ session_id }) => {
      void queries.invalidateQueries({ queryKey: ['sessions'] });
      await navigate(`/session/${session_id}`);
    },
  });
}

interface CategoriesProps {
  all: string[];
  chosen: string;
  onChoose: (category: string) => void;
}

function Categories({ all, chosen, onChoose }: CategoriesProps) {
  return (
    <Chip.Group value={chosen} onChange={onChoose}>
      <Group gap="xs" mb="sm" role="group" aria-label="Category">
        <Chip value="" size="xs">
          All
        </Chip>
        {all.map((category) => (
          <Chip key={category} value={category} size="xs">
            {category}
          </Chip>
        ))}
      </Group>
    </Chip.Group>
  );
}

function matches(image: LauncherImage, search: string): boolean {
  const text = [image.friendly_name, image.description, ...image.categories].join(' ').toLowerCase();
  return search
    .toLowerCase()
    .split(/\s+/)
    .every((word) => text.includes(word));
}

function Nothing({ search }: { search: string }) {
  const allowed = useAllowed();
  if (search) return <EmptyState icon={IconSearch} title={`No workspace matches “${search}”`} />;
  return (
    <EmptyState icon={IconApps} title="No workspaces yet">
      {allowed('images_view')
        ? 'Enable a workspace and give it to a group under Administration.'
        : 'Ask an administrator to give one of your groups a workspace.'}
    </EmptyState>
  );
}
