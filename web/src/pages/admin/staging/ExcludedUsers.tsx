import { t } from '@lingui/core/macro';
import { Plural, Trans } from '@lingui/react/macro';
import { Button } from '@mantine/core';
import type { Schemas } from '../../../api/types';
import { WarningLine } from '../../../components/Preview';
import styles from './ExcludedUsers.module.css';
import { reasonsText } from './misses';

export type Excluded = Schemas['StagingPreview']['excluded'][number];

interface Props {
  excluded: Excluded[];
  /** Opens the form of a pool with these permissions. Without it, no button is shown. */
  onCreate?: ((permissions: NonNullable<Excluded['permissions']>) => void) | undefined;
}

/** The users that a pool does not serve, the settings that exclude them, and the pool that would serve them. */
export function ExcludedUsers({ excluded, onCreate }: Props) {
  return excluded.map((each) => {
    const { users, groups, permissions, is_served: isServed } = each;
    const names = groups.join(', ');
    const reasons = reasonsText(each);
    return (
      <WarningLine key={`${names} ${reasons}`}>
        <div className={styles.text}>
          {names ? (
            <Trans>
              <Plural value={users} one="# user" other="# users" /> left out by {names}: {reasons}
            </Trans>
          ) : (
            <Trans>
              <Plural value={users} one="# user" other="# users" /> left out: {reasons}
            </Trans>
          )}
          {isServed && <span className={styles.note}>{t`Another pool serves them.`}</span>}
          {!permissions && <span className={styles.note}>{t`No pool can serve them.`}</span>}
          {permissions && !isServed && onCreate && (
            <Button className={styles.create} variant="default" size="compact-xs" onClick={() => onCreate(permissions)}>
              {names ? t`Create a pool for ${names}` : t`Create a pool for them`}
            </Button>
          )}
        </div>
      </WarningLine>
    );
  });
}
