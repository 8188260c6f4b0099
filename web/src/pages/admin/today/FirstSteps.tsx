import { t } from '@lingui/core/macro';
import { Trans } from '@lingui/react/macro';
import { Title } from '@mantine/core';
import { IconCircleDashed, IconX } from '@tabler/icons-react';
import type { ReactNode } from 'react';
import { Link } from 'react-router';
import type { Today } from '../../../api/types';
import { useListChoices } from '../../../components/listChoices';
import { PageButton } from '../../../components/Named';
import { RowButton } from '../../../components/RowButton';
import classes from './Today.module.css';

type Step = Today['first_steps'][number];

/** The name under which the choices of the user are kept. */
const LIST = 'first-steps';

interface StepText {
  sentence: ReactNode;
  button: string;
  to: string;
}

/** The text of a step; null = a step of a newer server. */
export function textOf(step: Step): StepText | null {
  switch (step) {
    case 'password':
      return {
        sentence: t`Your password is the initial password of the installation.`,
        button: t`Change Password`,
        to: '/account?do=password',
      };
    case 'workspace':
      return {
        sentence: t`Add a workspace from the catalogue, such as a browser or an office suite.`,
        button: t`Open the Catalogue`,
        to: '/admin/catalogue',
      };
    case 'people':
      return {
        sentence: (
          <Trans>
            Invite people: create users, or set up <Link to="/admin/sign-on">sign-on</Link>.
          </Trans>
        ),
        button: t`Create User`,
        to: '/admin/users?create=1',
      };
    case 'manager':
      return {
        sentence: t`Start a second Manager, so that sessions still start if the first one stops.`,
        button: t`Show How`,
        to: '/help/docs/howto/several-machines.html',
      };
    case 'backup':
      return {
        sentence: t`Back up the installation every day. There is no backup yet.`,
        button: t`Show How`,
        to: '/help/docs/howto/back-up.html',
      };
    default:
      return null;
  }
}

/** What a new installation still needs. A step disappears when it is done, or when the user dismisses it. */
export function FirstSteps({ steps }: { steps: Step[] }) {
  const [{ dismissed }, change] = useListChoices(LIST);
  const shown = steps.flatMap((step) => {
    const text = dismissed.includes(step) ? null : textOf(step);
    return text ? [{ step, ...text }] : [];
  });
  if (shown.length === 0) return null;
  return (
    <section aria-labelledby="first-steps">
      <Title order={2} id="first-steps" className={classes.heading}>
        <Trans>First steps</Trans>
      </Title>
      <ul className={classes.entries}>
        {shown.map(({ step, sentence, button, to }) => {
          const name = typeof sentence === 'string' ? sentence : t`Invite people`;
          return (
            <li key={step} className={`${classes.entry} ${classes.step}`} data-step={step}>
              <IconCircleDashed size={18} aria-hidden className={classes.mark} />
              <p className={classes.sentence}>{sentence}</p>
              <PageButton to={to} about={name}>
                {button}
              </PageButton>
              <RowButton
                label={t`Dismiss: ${name}`}
                icon={IconX}
                onClick={() => change((before) => ({ dismissed: [...before.dismissed, step] }))}
              />
            </li>
          );
        })}
      </ul>
    </section>
  );
}
