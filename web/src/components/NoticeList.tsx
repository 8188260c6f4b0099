import '@mantine/notifications/styles.layer.css';
import { Notifications } from '@mantine/notifications';
import { useQuery } from '@tanstack/react-query';
import { MeContext, meQuery } from '../api/auth';

/** All notices, at the upper right. "Why?" in a notice shows what the user may see. */
export function NoticeList() {
  const { data: me } = useQuery({ ...meQuery, enabled: false });
  return (
    <MeContext value={me ?? null}>
      <Notifications position="top-right" />
    </MeContext>
  );
}
