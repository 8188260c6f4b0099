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
  /** A number at the end of the row; 0 = none. */
  count?: number;
}

/** A row of the menu of a session. */
export function ToolRow({ name, hint, icon: Icon, onClick, on, refused = null, count = 0 }: Props) {
  const id = useId();
  const isRefused = refused !== null;
  const said = isRefused
    ? { 'aria-label': `${name}: ${refused}`, 'aria-disabled': true, 'data-refused': true }
    : { 'aria-labelledby': `${id}name`, 'aria-describedby': hint ? `${id}hint` : undefined, 'aria-pressed': on };
  return (
    <li>
      <button type="button" className={styles.row} onClick={() => isRefused || onClick()} {...said}>
        <Icon size={20} aria-hidden />
        <span className={styles.words}>
          <span id={`${id}name`} className={styles.name}>
            {name}
          </span>
          {(refused ?? hint) && (
            <span id={`${id}hint`} className={styles.hint}>
              {refused ?? hint}
            </span>
          )}
        </span>
        {on !== undefined && !isRefused && (
          <span className={styles.state} data-on={on || undefined} aria-hidden>
            {on ? 'On' : 'Off'}
          </span>
        )}
        {count > 0 && (
          <span className={styles.state} aria-hidden>
            {count}
          </span>
        )}
      </button>
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
