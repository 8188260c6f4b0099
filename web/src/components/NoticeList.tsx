import '@mantine/notifications/styles.layer.css';
import { Notifications } from '@mantine/notifications';

/** All notices, at the upper right. */
export function NoticeList() {
  return <Notifications position="top-right" />;
}
