import { IconCheck, IconMinus, IconX, type TablerIcon } from '@tabler/icons-react';
import type { Decision, DecisionStep } from '../api/types';
import { NamedSentence } from '../components/Named';
import { readable } from '../components/titles';
import { factName, resultWord } from './why';
import styles from './Why.module.css';

const ICONS: Record<DecisionStep['result'], TablerIcon> = {
  passed: IconCheck,
  stopped: IconX,
  unreached: IconMinus,
};

/** The rules in the order in which they were checked, as a vertical line. The one that decided is marked. */
export function DecisionPath({ steps, tone }: Pick<Decision, 'steps' | 'tone'>) {
  return (
    <ol className={styles.path}>
      {steps.map((step, index) => (
        <Step key={`${index} ${step.rule}`} step={step} tone={tone} />
      ))}
    </ol>
  );
}

function Step({ step, tone }: { step: DecisionStep; tone: Decision['tone'] }) {
  const { rule, result, decides, reason, facts } = step;
  const Icon = ICONS[result];
  return (
    <li className={styles.step} data-result={result} data-tone={decides ? tone : undefined}>
      <span className={styles.mark} aria-hidden>
        <Icon size={14} stroke={2.4} />
      </span>
      <div className={styles.text}>
        <p className={styles.rule}>
          {readable(rule)} <span className={styles.result}>{resultWord(step)}</span>
        </p>
        {reason.length > 0 && (
          <p className={styles.reason}>
            <NamedSentence parts={reason} />
          </p>
        )}
        {facts.length > 0 && (
          <dl className={styles.facts}>
            {facts.map(({ name, value, object }, index) => (
              <div key={`${index} ${name}`} className={styles.fact}>
                <dt>{object ? <NamedSentence parts={[{ text: name, object }]} /> : factName(name)}</dt>
                <dd>{readable(value)}</dd>
              </div>
            ))}
          </dl>
        )}
      </div>
    </li>
  );
}
