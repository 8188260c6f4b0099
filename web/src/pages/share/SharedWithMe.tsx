import { Button } from '@mantine/core';
import { useQuery } from '@tanstack/react-query';
import { Link } from 'react-router';
import { sharedWithMeQuery } from '../../api/sharing';
import styles from './SharedWithMe.module.css';

/** The sessions that other users share with the user by name; nothing if there are none. */
export function SharedWithMe() {
  const { data } = useQuery(sharedWithMeQuery);
  if (!data?.length) return null;
  return (
    <section aria-label="Shared with you" className={styles.section}>
      <h2>Shared with you</h2>
      <div className={styles.cards}>
        {data.map((share) => (
          <div key={share.share_id} className={styles.card}>
            <div className={styles.words}>
              <p className={styles.name}>
                {share.image_friendly_name} of {share.owner}
              </p>
              <p className={styles.access}>{share.access === 'control' ? 'With control' : 'View only'}</p>
            </div>
            <Button variant="default" component={Link} to={share.connect_url}>
              Open
            </Button>
          </div>
        ))}
      </div>
    </section>
  );
}
