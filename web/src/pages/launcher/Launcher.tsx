import { Alert, SimpleGrid, Skeleton, Stack, Title } from '@mantine/core';
import { useMutation, useQuery, useQueryClient } from '@tanstack/react-query';
import { IconApps, IconSearch } from '@tabler/icons-react';
import { useState } from 'react';
import { useNavigate } from 'react-router';
import { useAllowed } from '../../api/auth';
import { messageOf, retryTemporary } from '../../api/client';
import { launchSession, newLaunch } from '../../api/actions';
import { launcherQuery, launchOptionsQuery, mySessionsQuery } from '../../api/queries';
import type { LauncherImage } from '../../api/types';
import { EmptyState, StaleBanner } from '../../components/feedback';
import { PageHeader } from '../../components/PageHeader';
import { Categories, SearchField, useSearch } from '../../components/Search';
import { SharedWithMe } from '../share/SharedWithMe';
import { hasChoices, LaunchDialog } from './LaunchDialog';
import { NearerZone } from './NearerZone';
import { RunningSessions } from './RunningSessions';
import { useNearest } from './useNearest';
import { WorkspaceTile } from './WorkspaceTile';

/** The workspaces that the user may launch, below the sessions of the user. */
export function Launcher() {
  const images = useQuery(launcherQuery);
  const sessions = useQuery(mySessionsQuery);
  const found = useSearch(images.data ?? [], (image) => [image.friendly_name, image.description]);
  const launch = useLaunch();
  const options = useQuery(launchOptionsQuery);
  const nearest = useNearest(options.data);
  const [chosen, setChosen] = useState<LauncherImage | null>(null);

  return (
    <Stack gap="lg">
      <PageHeader title="Workspaces" actions={<SearchField label="Search workspaces" width={260} of={found} />}>
        Choose a workspace. It opens in this window.
      </PageHeader>
      <StaleBanner error={images.error ?? sessions.error} hasData={images.data !== undefined} />
      {launch.isError && (
        <Alert
          ref={intoView}
          color="red"
          variant="light"
          role="alert"
          title="Not launched"
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
      <section aria-label="Launch a workspace">
        {(sessions.data?.length ?? 0) > 0 && (
          <Title order={2} fz={16} mb="sm">
            Launch another workspace
          </Title>
        )}
        <NearerZone nearest={nearest} />
        <Categories things={images.data ?? []} of={found} />
        <SimpleGrid cols={{ base: 1, xs: 2, sm: 3, lg: 4 }} spacing="md">
          {images.isPending && [0, 1, 2, 3].map((index) => <Skeleton key={index} h={132} radius="md" />)}
          {found.shown.map((image) => (
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
        {images.data && found.shown.length === 0 && <Nothing search={found.wanted} />}
      </section>
      {chosen && options.data && (
        <LaunchDialog image={chosen} options={options.data} nearest={nearest} onClose={() => setChosen(null)} />
      )}
    </Stack>
  );
}

/** On a phone, the pressed tile may be far below its error. */
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

function Nothing({ search }: { search: string }) {
  const allowed = useAllowed();
  if (search) return <EmptyState icon={IconSearch} title={`No workspace matches “${search}”`} />;
  return (
    <EmptyState icon={IconApps} title="No workspaces yet">
      {allowed('images_view')
        ? 'Enable a workspace and assign it to a group under Administration.'
        : 'Ask an administrator to assign a workspace to one of your groups.'}
    </EmptyState>
  );
}
