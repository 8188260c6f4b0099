import { plural, t } from '@lingui/core/macro';
import { Trans } from '@lingui/react/macro';
import { Button, VisuallyHidden } from '@mantine/core';
import { useEffect } from 'react';
import { messageOf } from '../api/client';
import styles from './ChangesBar.module.css';
import { type Change, changesText } from './changes';
import { LeaveGuard } from './LeaveGuard';
import { WhyRefused } from '../why/WhyRefused';

interface Props {
  changes: Change[];
  /** The number of values that cannot be saved. */
  problems?: number;
  /** What to do before the changes can be saved; empty = they can be saved. */
  missing?: string;
  isSaving: boolean;
  /** The reason why the last attempt failed. */
  error?: unknown;
  /** The sentence about it, if it differs from that of the server. */
  sentence?: string | undefined;
  /** Without it, Save submits the form that contains the bar. */
  onSave?: () => void;
  onDiscard: () => void;
}

/** The bar at the lower edge of a page with unsaved changes: the list of changes, Discard and Save. */
export function ChangesBar(props: Props) {
  const { changes, isSaving } = props;
  const isDirty = changes.length > 0;
  return (
    <>
      <LeaveGuard when={isDirty && !isSaving} />
      <VisuallyHidden role="status">{isDirty ? changesText(changes.length) : ''}</VisuallyHidden>
      {isDirty && <Bar {...props} />}
    </>
  );
}

function Bar({ changes, problems = 0, missing = '', isSaving, error, sentence, onSave, onDiscard }: Props) {
  useFocusOfPage();
  const reason = sentence ?? messageOf(error);
  return (
    <section className={styles.bar} aria-label={t`Unsaved changes`}>
      <div className={styles.words}>
        <div className={styles.count}>{changesText(changes.length)}</div>
        <ul className={styles.changes} tabIndex={0} aria-label={t`Changes`}>
          {changes.map(({ name, title, before, after }) => (
            <li key={name} className={styles.change} data-change={name}>
              {title}: {before && <span className={styles.before}>{before}</span>} → <span>{after}</span>
            </li>
          ))}
        </ul>
        {problems > 0 && (
          <div className={styles.problem}>
            {plural(problems, {
              one: 'One value cannot be saved. Correct it.',
              other: '# values cannot be saved. Correct them.',
            })}
          </div>
        )}
        {missing && <div className={styles.problem}>{missing}</div>}
        {error != null && (
          <div className={styles.problem} role="alert">
            <Trans>Not saved. {reason}</Trans> <WhyRefused error={error} />
          </div>
        )}
      </div>
      <div className={styles.buttons}>
        <Button variant="default" onClick={onDiscard} disabled={isSaving}>
          <Trans>Discard</Trans>
        </Button>
        <Button
          type={onSave ? 'button' : 'submit'}
          onClick={onSave}
          loading={isSaving}
          disabled={problems > 0 || missing !== ''}
        >
          <Trans>Save</Trans>
        </Button>
      </div>
    </section>
  );
}

/** Gives the focus to the page when the bar, which had it, is gone. */
function useFocusOfPage(): void {
  useEffect(
    () => () => {
      setTimeout(() => {
        if (document.activeElement === document.body)
          document.getElementById('content')?.focus({ preventScroll: true });
      });
    },
    [],
  );
}
