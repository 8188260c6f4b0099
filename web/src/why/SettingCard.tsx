import { t } from '@lingui/core/macro';
import { Alert, Button } from '@mantine/core';
import { useMutation, useQueryClient } from '@tanstack/react-query';
import { useState } from 'react';
import { useAllowed } from '../api/auth';
import { messageOf, retryTemporary } from '../api/client';
import type { DecisiveSetting } from '../api/types';
import { AmountInput } from '../components/AmountInput';
import { showWarning } from '../components/feedback';
import { NamedSentence } from '../components/Named';
import { warningsOf } from '../components/saving';
import { readable } from '../components/titles';
import { showUndo } from '../components/undo';
import { affectedText, formerOf, readSetting, saveSetting, sourceOf, titleOf, TOUCHED, valueText } from './why';
import styles from './Why.module.css';

interface Props {
  setting: DecisiveSetting;
  /** Tries another value; called with undefined to try none. Without it, only the suggested value can be saved. */
  onTry: ((value: unknown) => void) | undefined;
}

/** The setting that would change the decision, with the result of a change before it is saved. */
export function SettingCard({ setting, onTry }: Props) {
  const title = titleOf(setting);
  const allowed = useAllowed();
  const queries = useQueryClient();
  const refresh = () => Promise.all(TOUCHED.map((key) => queries.invalidateQueries({ queryKey: [key] })));
  const save = useMutation({
    mutationFn: () => saveSetting(setting),
    retry: retryTemporary,
    onSuccess: (saved) => {
      onTry?.(undefined);
      const warnings = warningsOf(saved);
      showUndo(t`${title} was saved.`, {
        saved: { [title]: setting.suggested },
        read: async () => ({ [title]: await readSetting(queries, setting) }),
        restore: () => saveSetting(formerOf(setting)).then(refresh),
      });
      if (warnings.length > 0) showWarning(t`Saved with warnings`, warnings.join(' '));
    },
    onSettled: refresh,
  });
  const { value, suggested, unit, owner, object, source, before, after, affected } = setting;
  const affects = affectedText(affected);
  const newValue = valueText(suggested, unit);
  const mayChange = object !== null && allowed(setting.needs);
  return (
    <section className={styles.setting} aria-labelledby="why-setting">
      <h3 id="why-setting" className={styles.heading}>
        {t`The setting that decides`}
      </h3>
      <p className={styles.named}>
        <strong>{title}</strong> <NamedSentence parts={[{ text: owner, object }]} />
      </p>
      <dl className={styles.facts}>
        <div className={styles.fact}>
          <dt>{t`Current value`}</dt>
          <dd>{valueText(value, unit)}</dd>
        </div>
        <div className={styles.fact}>
          <dt>{t`Source`}</dt>
          <dd>{sourceOf(setting)}</dd>
        </div>
      </dl>
      {affects && <p className={styles.affects}>{affects}</p>}
      {onTry && mayChange && typeof value === 'number' && <Try setting={setting} onTry={onTry} />}
      {suggested !== null && (
        <>
          <div className={styles.preview} role="group" aria-label={t`Preview`}>
            <Side title={t`Before`} value={valueText(value, unit)} sentence={before} />
            <Side title={t`After`} value={newValue} sentence={after} />
          </div>
          {source === 'default' && mayChange && (
            <p className={styles.affects}>{t`The value is saved in the group All Users.`}</p>
          )}
        </>
      )}
      {save.isError && (
        <Alert color="red" variant="light" role="alert" title={t`Not saved`}>
          {messageOf(save.error)}
        </Alert>
      )}
      {suggested !== null && mayChange && (
        <Button size="compact-md" loading={save.isPending} onClick={() => save.mutate()} className={styles.help}>
          {t`Save ${title}: ${newValue}`}
        </Button>
      )}
      {!mayChange && <p className={styles.affects}>{t`Ask an administrator to change it.`}</p>}
    </section>
  );
}

function Side({ title, value, sentence }: { title: string; value: string; sentence: string }) {
  return (
    <div className={styles.side}>
      <p className={styles.sideTitle}>{title}</p>
      <p className={styles.sideValue}>{value}</p>
      {sentence && <p className={styles.reason}>{readable(sentence)}</p>}
    </div>
  );
}

/** A field for another number, of which the preview is shown. */
function Try({ setting, onTry }: { setting: DecisiveSetting; onTry: (value: unknown) => void }) {
  const [typed, setTyped] = useState<number | ''>(Number(setting.suggested ?? setting.value));
  return (
    <form
      className={styles.try}
      onSubmit={(event) => {
        event.preventDefault();
        if (typed !== '') onTry(typed);
      }}
    >
      <AmountInput label={t`Value to try`} size="xs" unit={setting.unit} value={typed} onChange={setTyped} min={0} />
      <Button type="submit" size="xs" variant="default" disabled={typed === ''}>
        {t`Preview`}
      </Button>
    </form>
  );
}
