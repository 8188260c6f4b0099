import { t } from '@lingui/core/macro';
import { createContext, Suspense, use, useState } from 'react';
import { Link } from 'react-router';
import { lazily } from '../components/lazily';
import type { Subject } from './subject';
import styles from './WhyButton.module.css';

const WhyPanel = lazily<'WhyPanel', PanelProps>(() => import('./WhyPanel'), 'WhyPanel');

/** Opens the panel elsewhere, for buttons that may disappear while it is open. null = beside the button. */
export const OpenWhyContext = createContext<((subject: Subject) => void) | null>(null);

interface PanelProps {
  subject: Subject;
  onClose: () => void;
}

interface Props {
  subject: Subject;
  /** What is explained, for screen readers, e.g. "pool Desktop". */
  about: string;
}

/** The control that explains a number, a state or a refusal: it opens a panel with the decision. */
export function WhyButton({ subject, about }: Props) {
  const [opened, setOpened] = useState(false);
  const openElsewhere = use(OpenWhyContext);
  return (
    <>
      <button
        type="button"
        className={`${styles.why} mantine-focus-auto`}
        aria-label={t`Why? ${about}`}
        aria-haspopup="dialog"
        onClick={(event) => {
          event.stopPropagation();
          if (openElsewhere) openElsewhere(subject);
          else setOpened(true);
        }}
      >
        {t`Why?`}
      </button>
      {opened && <WhyOpened subject={subject} onClose={() => setOpened(false)} />}
    </>
  );
}

/** "Why?" as a link to the list that explains a number. */
export function WhyLink({ to, about }: { to: string; about: string }) {
  return (
    <Link to={to} className={styles.why} aria-label={t`Why? ${about}`}>
      {t`Why?`}
    </Link>
  );
}

/** The panel, loaded when it is first opened. */
export function WhyOpened({ subject, onClose }: { subject: Subject; onClose: () => void }) {
  return (
    <Suspense fallback={null}>
      <WhyPanel subject={subject} onClose={onClose} />
    </Suspense>
  );
}
