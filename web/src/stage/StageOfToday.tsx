import { Trans } from '@lingui/react/macro';
import { Title } from '@mantine/core';
import { Link } from 'react-router';
import type { StageMap as Answer } from '../api/stageMap';
import styles from './stage.module.css';
import { StageMap } from './StageMap';
import { useLooks } from './useLooks';

/** The number of Agents of each zone on the page Today. */
const MOST_AGENTS = 12;

/** The stage map on the page Today: small, and with few Agents. */
export function StageOfToday({ map }: { map: Answer }) {
  const looks = useLooks(map);
  return (
    <section aria-labelledby="stage" className={styles.ofToday}>
      <div className={styles.head}>
        <Title order={2} id="stage">
          <Trans>Stage</Trans>
        </Title>
        <Link to="/admin/infrastructure/stage-map">
          <Trans>Show the stage map</Trans>
        </Link>
      </div>
      <StageMap map={map} looks={looks} isCompact mostAgents={MOST_AGENTS} />
    </section>
  );
}
