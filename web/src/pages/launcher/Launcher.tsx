import { t } from '@lingui/core/macro';
import { Alert } from '@mantine/core';
import { useMutation, useQuery, useQueryClient } from '@tanstack/react-query';
import { IconApps, IconSearch } from '@tabler/icons-react';
import { Suspense, useEffect, useRef, useState } from 'react';
import { useNavigate } from 'react-router';
import { launchSession, newLaunch } from '../../api/actions';
import { useAllowed } from '../../api/auth';
import { messageOf, retryTemporary } from '../../api/client';
import { launcherQuery, launchOptionsQuery, mySessionsQuery } from '../../api/queries';
import { sharedWithMeQuery } from '../../api/sharing';
import type { LauncherImage } from '../../api/types';
import { isShown } from '../../components/Artwork';
import { EmptyState, StaleBanner } from '../../components/feedback';
import { lazily } from '../../components/lazily';
import { PageHeader } from '../../components/PageHeader';
import { Categories, SearchField, useSearch } from '../../components/Search';
import { loadOtherTexts } from '../../language';
import { WhyRefused } from '../../why/WhyRefused';
import { type Opening, openingFrom, rememberOpening } from '../session/opening';
import { SharedWithMe } from '../share/SharedWithMe';
import type { Props as LaunchProps } from './LaunchDialog';
import styles from './Launcher.module.css';
import { RunningSessions } from './RunningSessions';
import { hasChoices, sectionsOf } from './sections';
import { useFavorites } from './useFavorites';
import { type Nearest, useNearest } from './useNearest';
import { TileSkeleton, WorkspaceTile } from './WorkspaceTile';

const NearerZone = lazily<'NearerZone', { nearest: Nearest }>(() => import('./NearerZone'), 'NearerZone');
const LaunchDialog = lazily<'LaunchDialog', LaunchProps>(() => import('./LaunchDialog'), 'LaunchDialog');

const SKELETONS = 8;
const LATER_MS = 500;

/** The workspaces that the user may launch, below the sessions of the user. */
export function Launcher() {
  const images = useQuery(launcherQuery);
  const sessions = useQuery(mySessionsQuery);
  const shared = useQuery(sharedWithMeQuery);
  const favorites = useFavorites();
  const found = useSearch(images.data ?? [], (image) => [image.friendly_name, image.description]);
  const { start, launch } = useLaunch();
  const options = useQuery(launchOptionsQuery);
  const nearest = useNearest(options.data);
  const [chosen, setChosen] = useState<LauncherImage | null>(null);
  // All parts appear together, so that none moves another.
  const isLoading = images.isPending || sessions.isPending || shared.isPending || favorites.isPending;
  useSessionPageLater(!isLoading);
  const hasSessions = (sessions.data?.length ?? 0) > 0;
  const isSearching = found.search[0] !== '';
  const sections = sectionsOf(found.shown, favorites.favorites, found.wanted !== '');
  const first = isSearching ? sections[0]?.images[0] : undefined;
  const press = (image: LauncherImage, picture: Element | null) => start(image, picture, nearest.choices);

  return (
    <div className={styles.page}>
      <PageHeader
        title={t`Workspaces`}
        actions={
          <SearchField
            label={t`Search workspaces`}
            of={found}
            onEnter={() => first && !launch.isPending && press(first, pictureOf(first))}
          />
        }
      >
        {t`Choose a workspace. It opens in this window.`}
      </PageHeader>
      <StaleBanner error={images.error ?? sessions.error} hasData={images.data !== undefined} />
      {launch.isError && (
        <Alert
          ref={intoView}
          color="red"
          variant="light"
          role="alert"
          title={t`Not launched`}
          withCloseButton
          closeButtonLabel={t`Dismiss`}
          onClose={launch.reset}
        >
          {messageOf(launch.error)} <WhyRefused error={launch.error} />
        </Alert>
      )}
      {!isLoading && !isSearching && hasSessions && (
        <RunningSessions sessions={sessions.data ?? []} images={images.data ?? []} />
      )}
      {!isLoading && !isSearching && <SharedWithMe shares={shared.data ?? []} />}
      <section key={isLoading ? 'loading' : 'loaded'} aria-label={t`Launch a workspace`}>
        {isLoading ? (
          <div className={`${styles.tiles} gr-late`}>
            {Array.from({ length: SKELETONS }, (_, index) => (
              <TileSkeleton key={index} />
            ))}
          </div>
        ) : (
          <>
            <Categories things={images.data ?? []} of={found} />
            {sections.map((section) => (
              <div key={section.title} className={styles.section}>
                {(sections.length > 1 || (hasSessions && !isSearching)) && <h2>{section.title}</h2>}
                <div className={styles.tiles}>
                  {section.images.map((image) => (
                    <WorkspaceTile
                      key={image.image_id}
                      image={image}
                      isFirst={image === first}
                      isFavorite={favorites.favorites.includes(image.image_id)}
                      busy={launch.isPending && launch.variables.imageId === image.image_id}
                      disabled={launch.isPending}
                      onLaunch={(picture) => press(image, picture)}
                      onFavorite={() => favorites.toggle(image.image_id)}
                      onChoose={hasChoices(image, options.data) ? () => setChosen(image) : undefined}
                    />
                  ))}
                </div>
              </div>
            ))}
            {images.data && found.shown.length === 0 && <Nothing search={found.wanted} />}
          </>
        )}
      </section>
      <div className={styles.late}>
        {nearest.suggested && (
          <Suspense>
            <NearerZone nearest={nearest} />
          </Suspense>
        )}
      </div>
      {chosen && options.data && (
        <Suspense>
          <LaunchDialog image={chosen} options={options.data} nearest={nearest} onClose={() => setChosen(null)} />
        </Suspense>
      )}
    </div>
  );
}

/** Loads the code of the session page once the launcher `isUsable`, so that a session opens without waiting for it. */
function useSessionPageLater(isUsable: boolean): void {
  useEffect(() => {
    if (!isUsable) return;
    // A failure has no effect: the session page loads its code again.
    const load = () => loadOtherTexts().then(() => import('../session/SessionPage'));
    const timer = setTimeout(() => void load().catch(() => undefined), LATER_MS);
    return () => clearTimeout(timer);
  }, [isUsable]);
}

/** On a phone, the pressed tile may be far below its error. */
function intoView(element: HTMLElement | null) {
  element?.scrollIntoView({ block: 'center' });
}

/** The picture of a tile on this page. */
function pictureOf({ image_id }: LauncherImage): Element | null {
  return document.querySelector(`[data-image="${image_id}"] > :first-child`);
}

/** `start` launches a workspace and opens its session from the picture of its tile. */
function useLaunch() {
  const navigate = useNavigate();
  const queries = useQueryClient();
  const pressed = useRef<Opening | null>(null);
  const launch = useMutation({
    mutationFn: launchSession,
    retry: retryTemporary,
    onSuccess: async ({ session_id }) => {
      void queries.invalidateQueries({ queryKey: ['sessions'] });
      rememberOpening(session_id, pressed.current && { ...pressed.current, at: performance.now() });
      await navigate(`/session/${session_id}`);
    },
  });
  const start = (image: LauncherImage, picture: Element | null, choices: Parameters<typeof newLaunch>[1]) => {
    pressed.current = openingFrom(picture, isShown(image.image_src) ? image.image_src : null, {
      expectedS: image.ready ? null : image.expected_s,
    });
    launch.mutate(newLaunch(image.image_id, choices));
  };
  return { start, launch };
}

function Nothing({ search }: { search: string }) {
  const allowed = useAllowed();
  if (search) return <EmptyState icon={IconSearch} title={t`No workspace matches “${search}”`} />;
  return (
    <EmptyState icon={IconApps} title={t`No workspaces yet`}>
      {allowed('images_view')
        ? t`Enable a workspace and assign it to a group under Administration.`
        : t`Ask an administrator to assign a workspace to one of your groups.`}
    </EmptyState>
  );
}
