import { t } from '@lingui/core/macro';
import { subjectOfRefusal } from './subject';
import { WhyButton } from './WhyButton';

/** "Why?" beside a refusal, if the server can explain it. */
export function WhyRefused({ error }: { error: unknown }) {
  const subject = subjectOfRefusal(error);
  return subject && <WhyButton subject={subject} about={t`this refusal`} />;
}
