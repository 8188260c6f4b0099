import { t } from '@lingui/core/macro';
import type { TablerIcon } from '@tabler/icons-react';
import { type ReactNode, useId } from 'react';
import styles from './ToolRow.module.css';

interface Props {
  /** The visible name, which is also the name for screen readers. */
  name: string;
  /** The effect or the state, in a few words. */
  hint?: string | undefined;
  icon: TablerIcon;
  onClick: () => void;
  /** Whether a switch is on; undefined for a row that is no switch. */
  on?: boolean;
  /** The reason why the row cannot be used. It is shown instead of the hint. */
  refused?: string | null;
  /** What the user can do about the refusal. */
  help?: ReactNode;
  /** A number at the end of the row; 0 = none. */
  count?: number;
}

/** A row of the menu of a session. */
export function ToolRow({ name, hint, icon: Icon, onClick, on, refused = null, help, count = 0 }: Props) {
  const id = useId();
  const isRefused = refused !== null;
  return (
    <li className={styles.row} data-refused={isRefused || undefined}>
      <Icon size={20} aria-hidden />
      <span className={styles.words}>
        <button
          type="button"
          className={styles.name}
          aria-label={isRefused ? `${name}: ${refused}` : undefined}
          aria-disabled={isRefused || undefined}
          aria-describedby={hint && !isRefused ? id : undefined}
          aria-pressed={isRefused ? undefined : on}
          onClick={() => isRefused || onClick()}
        >
          {name}
        </button>
        {(refused ?? hint) && (
          <span id={id} className={styles.hint}>
            {refused ?? hint}
          </span>
        )}
        {isRefused && help && <span className={styles.help}>{help}</span>}
      </span>
      {on !== undefined && !isRefused && (
        <span className={styles.state} data-on={on || undefined} aria-hidden>
          {on ? t`On` : t`Off`}
        </span>
      )}
      {count > 0 && (
        <span className={styles.state} aria-hidden>
          {count}
        </span>
      )}
    </li>
  );
}

/** Rows that belong together. */
export function ToolRows({ label, children }: { label: string; children: ReactNode }) {
  return (
    <ul className={styles.list} aria-label={label}>
      {children}
    </ul>
  );
}
