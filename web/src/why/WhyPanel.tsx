import { t } from '@lingui/core/macro';
import { Button, Skeleton } from '@mantine/core';
import { keepPreviousData, useQuery } from '@tanstack/react-query';
import { useEffect, useState } from 'react';
import { Link, useLocation } from 'react-router';
import { useMe } from '../api/auth';
import type { Decision } from '../api/types';
import { SideSheet } from '../components/Dialog';
import { StaleBanner } from '../components/feedback';
import { NamedSentence } from '../components/Named';
import { helpAddress } from '../components/objects';
import { readable } from '../components/titles';
import { DecisionPath } from './DecisionPath';
import { SettingCard } from './SettingCard';
import type { Subject } from './subject';
import { whyQuery } from './why';
import styles from './Why.module.css';

/** The decision about a subject: the answer, the checked rules, and the setting that would change it. */
export function WhyPanel({ subject, onClose }: { subject: Subject; onClose: () => void }) {
  const [tried, setTried] = useState<unknown>(undefined);
  const present = useQuery(whyQuery(subject));
  const trial = useQuery({
    ...whyQuery(subject, tried),
    enabled: tried !== undefined,
    placeholderData: keepPreviousData,
  });
  const { pathname } = useLocation();
  const [openedAt] = useState(pathname);
  useEffect(() => {
    if (pathname !== openedAt) onClose(); // a link in the panel of a notice, which stays on the next page
  }, [pathname, openedAt, onClose]);
  // After a refused value, the present decision stays, with the field for another value.
  const data = trial.data ?? present.data;
  const error = trial.error ?? present.error;
  return (
    <SideSheet title={data ? readable(data.question) : t`Why?`} size={560} onClose={onClose}>
      <StaleBanner error={error} hasData={data !== undefined} />
      {data ? (
        <Explained decision={data} onTry={subject.kind === 'setting' ? setTried : undefined} />
      ) : (
        !error && <Skeleton h={360} radius="md" />
      )}
    </SideSheet>
  );
}

interface Props {
  decision: Decision;
  /** Tries another value of the setting; undefined = only the suggested one. */
  onTry: ((value: unknown) => void) | undefined;
}

function Explained({ decision, onTry }: Props) {
  const { answer, tone, steps, setting, help } = decision;
  const me = useMe();
  const to = help && helpAddress(help, me);
  return (
    <div className={styles.panel}>
      <p className={styles.answer} data-tone={tone}>
        <NamedSentence parts={answer} />
      </p>
      {to && (
        <Button component={Link} to={to} variant="default" size="compact-sm" className={styles.help}>
          {help.title}
        </Button>
      )}
      <section aria-labelledby="why-checked">
        <h3 id="why-checked" className={styles.heading}>
          {t`What was checked`}
        </h3>
        <DecisionPath steps={steps} tone={tone} />
      </section>
      {setting && <SettingCard key={`${setting.name} ${setting.object?.id ?? ''}`} setting={setting} onTry={onTry} />}
    </div>
  );
}
