import '@mantine/notifications/styles.layer.css';
import { Notifications, notifications } from '@mantine/notifications';
import { useQuery } from '@tanstack/react-query';
import { useCallback, useState } from 'react';
import { useLocation } from 'react-router';
import { MeContext, meQuery } from '../api/auth';
import type { Subject } from '../why/subject';
import styles from './feedback.module.css';
import { OpenWhyContext, WhyOpened } from '../why/WhyButton';

/** The pages with a desktop: an own session, and one of another user. */
const DESKTOPS = /^\/(session|join)\//;

/**
 * All notices: at the upper right, below the header, and at the left of a desktop, whose panels are at the right. "Why?" in a notice closes the notices, which would lie over the panel and close by
 * themselves, and shows what the user may see.
 */
export function NoticeList() {
  const { pathname } = useLocation();
  const position = DESKTOPS.test(pathname) ? 'top-left' : 'top-right';
  const { data: me } = useQuery({ ...meQuery, enabled: false });
  const [asked, setAsked] = useState<Subject | null>(null);
  const open = useCallback((subject: Subject) => {
    notifications.clean();
    setAsked(subject);
  }, []);
  const close = useCallback(() => setAsked(null), []);
  return (
    <MeContext value={me ?? null}>
      <OpenWhyContext value={open}>
        <Notifications position={position} className={styles.notices ?? ''} />
      </OpenWhyContext>
      {asked && <WhyOpened subject={asked} onClose={close} />}
    </MeContext>
  );
}
