import { t } from '@lingui/core/macro';
import { Trans } from '@lingui/react/macro';
import classes from './Palette.module.css';

/** Texts to enter, and their effects. */
const EXAMPLES = [
  [t`anna`, t`people, sessions and other objects with this word`],
  [t`session anna`, t`only objects of one kind: user, session, pool, workspace, agent, manager, zone, group, webhook`],
  [t`password length`, t`a setting, by its title or its key`],
  ['launch-failed', t`a code of the log`],
  [t`stop anna`, t`an action; its page asks before the change`],
  [t`disable manager-1`, t`disable or enable a Manager or an Agent`],
  [t`pause desktop`, t`pause or resume a pool`],
  [t`why anna cold`, t`the reason why the last launch of a user was not staged`],
] as const;

/** What can be entered in the search. */
export function PaletteHelp() {
  return (
    <div className={classes.help}>
      <p className={classes.section}>
        <Trans>Enter for example</Trans>
      </p>
      <dl className={classes.examples}>
        {EXAMPLES.map(([text, effect]) => (
          <div key={text} className={classes.example}>
            <dt>{text}</dt>
            <dd>{effect}</dd>
          </div>
        ))}
      </dl>
    </div>
  );
}
