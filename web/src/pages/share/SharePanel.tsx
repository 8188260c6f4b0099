import { t } from '@lingui/core/macro';
import { Trans } from '@lingui/react/macro';
import { ActionIcon, Button, Portal, Tooltip } from '@mantine/core';
import { useQuery } from '@tanstack/react-query';
import { IconLink, IconUserOff, IconX } from '@tabler/icons-react';
import { type ReactNode, useId } from 'react';
import { endShare, putOut, type Share, sharingQuery, takeControlBack, type Viewer } from '../../api/sharing';
import { showDone, showError } from '../../components/feedback';
import { withTitles } from '../../components/titles';
import { TimeAgo } from '../../components/TimeAgo';
import { useAction } from '../../components/useAction';
import { Panel } from '../session/Panel';
import styles from '../session/Panel.module.css';
import { ShareForm } from './ShareForm';

interface Props {
  sessionId: string;
  shares: Share[];
  viewers: Viewer[];
  onClose: () => void;
}

/** The shares and the viewers of a session. */
export function SharePanel({ sessionId, shares, viewers, onClose }: Props) {
  const { data: rules } = useQuery(sharingQuery(sessionId));
  const back = useAction(() => takeControlBack(sessionId), ['sharing'], t`Control was not taken back`);
  const controlled = shares.some((share) => share.access === 'control');
  return (
    <Portal>
      <Panel
        title={t({ message: 'Share', context: 'verb' })}
        close={t`Close the share panel`}
        onClose={onClose}
        focusesClose
      >
        {rules && !rules.allowed && <p>{withTitles(rules.reason ?? '')}</p>}
        {rules?.allowed && <ShareForm sessionId={sessionId} rules={rules} onShared={copyLink} />}
        {shares.length > 0 && (
          <List title={t({ message: 'Shared', context: 'heading' })}>
            {shares.map((share) => (
              <SharedRow key={share.share_id} share={share} />
            ))}
          </List>
        )}
        {viewers.length > 0 && (
          <List title={t`Viewers`}>
            {viewers.map((viewer) => (
              <ViewerRow key={viewer.viewer_id} sessionId={sessionId} viewer={viewer} />
            ))}
          </List>
        )}
        {controlled && (
          <Button variant="light" color="red" loading={back.isPending} onClick={() => back.mutate(undefined)}>
            <Trans>Take control back</Trans>
          </Button>
        )}
      </Panel>
    </Portal>
  );
}

function List({ title, children }: { title: string; children: ReactNode }) {
  const id = useId();
  return (
    <div>
      <h2 id={id}>{title}</h2>
      <ul className={styles.list} aria-labelledby={id}>
        {children}
      </ul>
    </div>
  );
}

const KINDS = {
  users: t`Users with the link`,
  guests: t`Guests with the link`,
  user: t`A user`,
  assistant: t`Administrator`,
};

function SharedRow({ share }: { share: Share }) {
  const end = useAction(() => endShare(share), ['sharing'], t`Sharing was not ended`);
  const kind = KINDS[share.audience];
  const who = share.name || (share.username ?? kind);
  const access = share.access === 'control' ? t({ message: 'Control', context: 'verb' }) : t`View only`;
  const isLink = share.connect_url !== '' && share.audience !== 'assistant';
  return (
    <li className={styles.item}>
      <div className={styles.grows}>
        <div className={styles.cut}>{who}</div>
        <div className={styles.quiet}>
          {share.name && `${kind} · `}
          {share.expires ? (
            <Trans>
              {access}, ends <TimeAgo time={share.expires} />
            </Trans>
          ) : (
            access
          )}
        </div>
      </div>
      {isLink && <Small label={t`Copy the link for ${who}`} icon={IconLink} onClick={() => void copyLink(share)} />}
      <Small label={t`Stop sharing with ${who}`} icon={IconX} onClick={() => end.mutate(undefined)} />
    </li>
  );
}

function ViewerRow({ sessionId, viewer }: { sessionId: string; viewer: Viewer }) {
  const { name, seen_from: address } = viewer;
  const out = useAction(() => putOut(sessionId, viewer.viewer_id), ['sharing'], t`The viewer was not removed`);
  return (
    <li className={styles.item}>
      <div className={styles.grows}>
        <div className={styles.cut}>{viewer.announcement}</div>
        <div className={styles.quiet}>
          {address ? (
            <Trans>
              joined <TimeAgo time={viewer.since} /> from {address}
            </Trans>
          ) : (
            <Trans>
              joined <TimeAgo time={viewer.since} />
            </Trans>
          )}
        </div>
      </div>
      <Small label={t`Remove ${name} from the session`} icon={IconUserOff} onClick={() => out.mutate(undefined)} />
    </li>
  );
}

function Small({ label, icon: Icon, onClick }: { label: string; icon: typeof IconX; onClick: () => void }) {
  return (
    <Tooltip label={label}>
      <ActionIcon size="xl" variant="subtle" color="gray" aria-label={label} onClick={onClick}>
        <Icon size={18} aria-hidden />
      </ActionIcon>
    </Tooltip>
  );
}

/** Copies the link of a share to the clipboard of this computer. */
function copyLink(share: Share): Promise<void> {
  return navigator.clipboard.writeText(new URL(share.connect_url, location.href).href).then(
    () => showDone(t`The link was copied`),
    (error: unknown) => showError(t`The link was not copied`, error),
  );
}
