import { plural, t } from '@lingui/core/macro';
import { IconAlertTriangle, IconCircleCheck, IconCpu, IconUsers } from '@tabler/icons-react';
import type { ReactNode } from 'react';
import type { Schemas } from '../api/types';
import styles from './Preview.module.css';
import { amountIn } from './units';

/** A sentence about the values of a form, beside their fields. `isProblem`: an administrator should read it. */
function Line({ icon: Icon, isProblem = false, children }: LineProps) {
  return (
    <div className={styles.line} data-problem={isProblem || undefined}>
      <Icon className={styles.icon} size={16} aria-hidden />
      <div>{children}</div>
    </div>
  );
}

interface LineProps {
  icon: typeof IconUsers;
  isProblem?: boolean;
  children: ReactNode;
}

/** "Fits: 4 more sessions at the moment", or the obstacles. `wanted` is the number of sessions that should fit. */
export function RoomLine({ room, wanted = 0 }: { room: Schemas['Room'] | undefined; wanted?: number }) {
  if (!room) return null;
  const { sessions, reason } = room;
  if (sessions === 0)
    return (
      <Line icon={IconAlertTriangle} isProblem>
        {t`Fits: none at the moment. ${reason}.`}
      </Line>
    );
  if (sessions < wanted)
    return (
      <Line icon={IconAlertTriangle} isProblem>
        {t`Fits: only ${plural(sessions, { one: '# more session', other: '# more sessions' })} at the moment`}
      </Line>
    );
  return (
    <Line icon={IconCircleCheck}>
      {t`Fits: ${plural(sessions, { one: '# more session', other: '# more sessions' })} at the moment`}
    </Line>
  );
}

/** A sentence about users, such as "10 of 12 users match". */
export function UsersLine({ users, children }: { users: number; children: ReactNode }) {
  return (
    <Line icon={users === 0 ? IconAlertTriangle : IconUsers} isProblem={users === 0}>
      {children}
    </Line>
  );
}

/** The cores and the memory that sessions reserve, in their units. */
export function CostLine({ cores, memory }: { cores: number; memory: number }) {
  const ofCores = amountIn(cores, 'cores');
  const ofMemory = amountIn(memory, 'B');
  return <Line icon={IconCpu}>{t`Holds ready: ${ofCores} and ${ofMemory} of memory`}</Line>;
}

export function WarningLine({ children }: { children: ReactNode }) {
  return (
    <Line icon={IconAlertTriangle} isProblem>
      {children}
    </Line>
  );
}

/** The lines of a preview. Screen readers announce them after a change. */
export function Preview({ children }: { children: ReactNode }) {
  return (
    <div className={styles.preview} role="status" aria-label={t`Preview`}>
      {children}
    </div>
  );
}
