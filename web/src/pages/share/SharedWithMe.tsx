import { t } from '@lingui/core/macro';
import { Trans } from '@lingui/react/macro';
import { Button } from '@mantine/core';
import { Link } from 'react-router';
import type { SharedWithMe as Shared } from '../../api/sharing';
import styles from './SharedWithMe.module.css';

/** The sessions that other users share with the user by name; nothing if there are none. */
export function SharedWithMe({ shares }: { shares: Shared[] }) {
  if (shares.length === 0) return null;
  return (
    <section aria-label={t`Shared with you`} className={styles.section}>
      <h2>
        <Trans>Shared with you</Trans>
      </h2>
      <div className={styles.cards}>
        {shares.map((share) => (
          <div key={share.share_id} className={styles.card}>
            <div className={styles.words}>
              <p className={styles.name}>{nameOf(share.image_friendly_name, share.owner ?? '')}</p>
              <p className={styles.access}>{share.access === 'control' ? t`With control` : t`View only`}</p>
            </div>
            <Button variant="default" component={Link} to={share.connect_url}>
              {t({ message: 'Open', context: 'verb' })}
            </Button>
          </div>
        ))}
      </div>
    </section>
  );
}

/** The name of the session of another user. */
function nameOf(workspace: string, owner: string): string {
  return t`${owner}’s ${workspace}`;
}
