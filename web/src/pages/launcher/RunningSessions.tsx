import { t } from '@lingui/core/macro';
import { Trans } from '@lingui/react/macro';
import { Button } from '@mantine/core';
import { useMediaQuery } from '@mantine/hooks';
import { useQuery } from '@tanstack/react-query';
import { useRef, useState } from 'react';
import { Link, useNavigate } from 'react-router';
import { orderSession } from '../../api/actions';
import { screenshotQuery } from '../../api/queries';
import type { LauncherImage, Session } from '../../api/types';
import { Artwork, isShown } from '../../components/Artwork';
import { shortDuration, useClock } from '../../components/clock';
import { Confirm } from '../../components/Confirm';
import { useObjectUrl } from '../../components/Screenshot';
import { SessionMenu } from '../../components/SessionMenu';
import { keptOf, ownLook, useSessionOrder } from '../../components/sessionActions';
import { StatusBadge } from '../../components/StatusBadge';
import { TimeAgo } from '../../components/TimeAgo';
import { withoutSettings } from '../../components/titles';
import { openingFrom, rememberOpening } from '../session/opening';
import { WhyButton } from '../../why/WhyButton';
import styles from './RunningSessions.module.css';
import { wideFirst } from './sections';

/** The interval of new pictures of the screens, in seconds, and their width. */
const RENEWED_AFTER_S = 10;
const PICTURE_WIDTH = 960;

/** The sessions of the user, with buttons to open, stop, pause or end them. The first one is wide. */
export function RunningSessions({ sessions, images }: { sessions: Session[]; images: LauncherImage[] }) {
  const [showsAll, setShowsAll] = useState(false);
  const atFirst = useShownAtFirst();
  const hidden = sessions.length - atFirst;
  return (
    <section aria-label={t`Your sessions`} className={styles.section}>
      <div className={styles.heading}>
        <h2>
          <Trans>Your sessions</Trans>
        </h2>
        {hidden > 0 && (
          <button type="button" className={styles.more} aria-expanded={showsAll} onClick={() => setShowsAll(!showsAll)}>
            {showsAll ? t`Show fewer` : t`Show ${hidden} more`}
          </button>
        )}
      </div>
      <div className={styles.cards}>
        {wideFirst(sessions)
          .slice(0, showsAll ? undefined : atFirst)
          .map((session) => (
            <SessionCard
              key={session.session_id}
              session={session}
              image={images.find((image) => image.image_id === session.image_id)}
            />
          ))}
      </div>
    </section>
  );
}

/** How many sessions are shown at first: the wide one and two rows beside it (RunningSessions.module.css), so that the workspaces stay visible. */
function useShownAtFirst(): number {
  const now = { getInitialValueInEffect: false }; // so that nothing moves
  const isMedium = useMediaQuery('(min-width: 52em)', undefined, now);
  const isLarge = useMediaQuery('(min-width: 140em)', undefined, now);
  return isLarge ? 5 : isMedium ? 3 : 2;
}

interface CardProps {
  session: Session;
  image: LauncherImage | undefined;
}

function SessionCard({ session, image }: CardProps) {
  const name = session.image_friendly_name;
  const runs = session.status === 'running';
  const picture = useRef<HTMLDivElement>(null);
  const screen = useScreen(session);
  const url = useObjectUrl(screen);
  const artwork = isShown(image?.image_src) ? image.image_src : null;
  const onOpen = () =>
    rememberOpening(
      session.session_id,
      openingFrom(picture.current, screen ?? artwork, { isScreen: screen !== undefined }),
    );
  return (
    <article className={styles.card} data-session={session.session_id} data-off={!runs || undefined}>
      <div ref={picture} className={styles.picture}>
        {url ? <img src={url} alt={t`Screen of ${name}`} /> : <Artwork name={name} src={image?.image_src} />}
      </div>
      <div className={styles.body}>
        <div className={styles.head}>
          <h3>{name}</h3>
          <StatusBadge status={session.operational_status} />
        </div>
        <p>
          <Since session={session} />{' '}
          <WhyButton subject={{ kind: 'session', id: session.session_id }} about={t`launch of ${name}`} />
        </p>
        <Fate session={session} />
        <Buttons session={session} name={name} onOpen={onOpen} />
      </div>
    </article>
  );
}

/** The picture of the screen of a running session, renewed while it is visible. */
function useScreen({ session_id, status }: Session): Blob | undefined {
  const { data } = useQuery({
    ...screenshotQuery(session_id, PICTURE_WIDTH),
    enabled: status === 'running',
    refetchInterval: RENEWED_AFTER_S * 1000,
    refetchIntervalInBackground: false,
  });
  return status === 'running' ? data : undefined;
}

/** The start of a session that runs; for others the time when it was last used. */
function Since({ session: { status, assigned, created, keepalive } }: { session: Session }) {
  if ((status === 'stopped' || status === 'paused') && keepalive)
    return (
      <Trans>
        last used <TimeAgo time={keepalive} />
      </Trans>
    );
  return (
    <Trans>
      started <TimeAgo time={assigned ?? created} />
    </Trans>
  );
}

/** The next automatic action for the session, or the reason why it was stopped or paused. */
function Fate({ session }: { session: Session }) {
  const { expires, expires_action: action, time_limit_ends: limit, stopped_reason: why } = session;
  const left = useClock((now) => shortDuration((Date.parse(expires ?? '') - now) / 1000));
  if (why) return <p>{withoutSettings(why)}</p>;
  if (!expires || !action) return null;
  const atLimit = expires === limit;
  if (action === 'stop') return <p>{atLimit ? t`Stops in ${left}` : t`Stops in ${left} unless in use`}</p>;
  if (action === 'pause') return <p>{atLimit ? t`Pauses in ${left}` : t`Pauses in ${left} unless in use`}</p>;
  const kept = keptOf(session);
  return <p>{atLimit ? t`Ends in ${left}. ${kept}` : t`Ends in ${left} unless in use. ${kept}`}</p>;
}

interface ButtonsProps {
  session: Session;
  name: string;
  /** Called before the page of the session is opened. */
  onOpen: () => void;
}

function Buttons({ session, name, onOpen }: ButtonsProps) {
  const may = (action: Session['actions'][number]) => session.actions.includes(action);
  const leaving = session.status === 'deleting';
  const failed = session.status === 'failed';
  const open = t({ message: 'Open', context: 'verb' });
  return (
    <div className={styles.buttons}>
      {may('resume') ? (
        <ResumeButton session={session} name={name} onOpen={onOpen} />
      ) : leaving ? (
        <Button className={styles.main} disabled>
          {open}
        </Button>
      ) : (
        <Button
          component={Link}
          to={`/session/${session.session_id}`}
          className={`${styles.main} ${styles.open}`}
          aria-label={failed ? t`What happened ${name}` : t`Open ${name}`}
          onClick={onOpen}
        >
          {failed ? t`What happened` : open}
        </Button>
      )}
      {may('stop') && <StopButton session={session} name={name} />}
      <SessionMenu session={session} name={name} without={['stop', 'resume']} />
    </div>
  );
}

/** Resumes a stopped or paused session and opens it. */
function ResumeButton({ session, name, onOpen }: ButtonsProps) {
  const navigate = useNavigate();
  const order = useSessionOrder(session, () => {
    onOpen();
    void navigate(`/session/${session.session_id}`);
  });
  return (
    <Button
      className={styles.main}
      aria-label={t`Resume ${name}`}
      loading={order.isPending}
      onClick={() => order.mutate('resume')}
    >
      <Trans>Resume</Trans>
    </Button>
  );
}

/** Stops the session, which keeps its files. */
function StopButton({ session, name }: Pick<ButtonsProps, 'session' | 'name'>) {
  const { label, warning } = ownLook('stop', session);
  return (
    <Confirm
      title={t`Stop ${name}?`}
      action={label}
      color="accent"
      trigger={(open) => (
        <Button className={styles.main} variant="default" onClick={open} aria-label={t`Stop ${name}`}>
          {label}
        </Button>
      )}
      onConfirm={() => orderSession(session, 'stop')}
      touched={['sessions']}
    >
      {warning}
    </Confirm>
  );
}
