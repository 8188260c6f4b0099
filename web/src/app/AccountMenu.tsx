import { t } from '@lingui/core/macro';
import { Button } from '@mantine/core';
import { useDisclosure } from '@mantine/hooks';
import {
  IconChevronDown,
  IconHelpCircle,
  IconKey,
  IconLanguage,
  IconLifebuoy,
  IconLogout,
  IconUser,
} from '@tabler/icons-react';
import { Suspense } from 'react';
import { useBranding } from '../api/branding';
import { type Entry, LateMenu } from '../components/LateMenu';
import { lazily } from '../components/lazily';
import { chooseLanguage, otherLanguages } from '../language';
import { placesIn } from '../places';
import styles from './HeaderBar.module.css';
import { useLogOut } from './useLogOut';

const PasswordForm = lazily<'PasswordForm', { onClose: () => void }>(() => import('./PasswordForm'), 'PasswordForm');

/** The menu with the name of the user and the pages of the account. */
export function AccountMenu({ username }: { username: string }) {
  const [changing, { open, close }] = useDisclosure(false);
  const leave = useLogOut();
  const { support_url } = useBranding();
  const entries: Entry[] = [
    ...placesIn('Account').map(({ path, title, link = title, icon }) => ({ label: link, icon, to: path })),
    { label: t`Change password`, icon: IconKey, onClick: open },
    ...otherLanguages().map(([language, label]) => ({
      label,
      icon: IconLanguage,
      onClick: () => chooseLanguage(language),
    })),
    { label: t`Help`, icon: IconHelpCircle, href: '/help', opensWindow: true },
    ...(support_url ? [{ label: t`Support`, icon: IconLifebuoy, href: support_url }] : []),
    { label: t`Log out`, icon: IconLogout, onClick: () => leave.mutate() },
  ];
  return (
    <>
      <LateMenu label={t`Account`} entries={entries}>
        {(trigger) => (
          <Button
            {...trigger}
            variant="subtle"
            color="gray"
            size="compact-sm"
            className={styles.account}
            leftSection={<IconUser size={16} aria-hidden />}
            rightSection={<IconChevronDown size={14} aria-hidden />}
            aria-label={t`Account ${username}`}
          >
            <span className={styles.username}>{username}</span>
          </Button>
        )}
      </LateMenu>
      {changing && (
        <Suspense>
          <PasswordForm onClose={close} />
        </Suspense>
      )}
    </>
  );
}
