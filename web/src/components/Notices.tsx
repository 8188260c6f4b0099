import { useNotifications } from '@mantine/notifications';
import { Suspense } from 'react';
import { useOnceWanted } from './lateOpen';
import { lazily } from './lazily';

const NoticeList = lazily(() => import('./NoticeList'), 'NoticeList');

/** The notices of `feedback.tsx`. Their code is loaded with the first one. */
export function Notices() {
  if (!useOnceWanted(useNotifications().notifications.length > 0)) return null;
  return (
    <Suspense>
      <NoticeList />
    </Suspense>
  );
}
