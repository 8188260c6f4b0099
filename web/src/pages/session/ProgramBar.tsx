import { t } from '@lingui/core/macro';
import { Trans } from '@lingui/react/macro';
import { Button } from '@mantine/core';
import { useMutation } from '@tanstack/react-query';
import { IconHandGrab, IconHandStop, IconPlayerRecord, IconRobot, IconUser } from '@tabler/icons-react';
import { useEffect, useRef } from 'react';
import type { OrderControl, Program } from '../../api/control';
import { showError } from '../../components/feedback';
import styles from './ProgramBar.module.css';
import type { Control, FramePage } from './useFramePage';

interface Props {
  page: FramePage;
  program: Program;
}

/** The time between an unanswered renewal and the next attempt. */
const AGAIN_MS = 5000;
const RENEWALS = 3;

/** The bar above a leased desktop: the holder of control, the buttons to take over and to hand back, the recording. */
export function ProgramBar({ page, program: { order, record } }: Props) {
  const control = page.control ?? { holder: 'program', term: 0, name: '' };
  const mine = control.holder === 'you';
  const take = useOrder(order, t`Control was not taken over`, page.focus);
  const back = useOrder(order, t`Control was not handed back`);
  useRenewal(order, mine && page.state === 'connected' ? control.term : null);
  useHandBackWhenLeft(order, mine ? control.term : null);
  const [what, hint] = wordsOf(control, page.watches);
  const Icon = control.holder === 'program' ? IconRobot : IconUser;
  return (
    <section aria-label={t`Control`} className={`surface program-bar ${mine ? 'mine' : ''}`}>
      <div className={styles.line}>
        <div className={styles.state} role="status">
          <Icon size={20} aria-hidden />
          <div>
            <p className={styles.words}>
              <strong>{what}</strong> <span className={styles.hint}>{hint}</span>
            </p>
            {record !== 'none' && <Recorded pictures={record === 'pictures'} />}
          </div>
        </div>
        {mine && (
          <Button
            size="compact-sm"
            className={styles.button}
            leftSection={<IconHandStop size={16} aria-hidden />}
            loading={back.isPending}
            onClick={() => back.mutate({ holder: 'program', term: control.term })}
          >
            <Trans>Hand back</Trans>
          </Button>
        )}
        {!mine && !page.watches && (
          <Button
            size="compact-sm"
            className={styles.button}
            leftSection={<IconHandGrab size={16} aria-hidden />}
            loading={take.isPending}
            disabled={page.state !== 'connected'}
            onClick={() => take.mutate({ holder: 'person' })}
          >
            <Trans>Take over</Trans>
          </Button>
        )}
      </div>
    </section>
  );
}

/** The notice that the lease is recorded. */
function Recorded({ pictures }: { pictures: boolean }) {
  return (
    <p className={`program-recorded ${styles.recorded}`}>
      <IconPlayerRecord size={12} aria-hidden />
      <span className={styles.short}>{pictures ? t`Recorded, with pictures.` : t`Recorded.`}</span>
      <span className={styles.long}>
        {pictures
          ? t`The actions of the program are recorded, with pictures of the screen.`
          : t`The actions of the program are recorded.`}
      </span>
    </p>
  );
}

/** The state of control and its effect on the viewer. */
function wordsOf({ holder, name }: Control, watchesOnly: boolean): [string, string] {
  if (holder === 'you') return [t`You have control.`, t`The program waits until you hand control back.`];
  if (holder === 'program')
    return [
      t`A program is using this desktop.`,
      watchesOnly ? t`You may watch.` : t`You are watching. Your keyboard and pointer have no effect.`,
    ];
  return [
    name ? t`${name} has control.` : t`Someone has control.`,
    watchesOnly
      ? t`The program waits. You may watch.`
      : t`The program waits. You are watching. Your keyboard and pointer have no effect.`,
  ];
}

function useOrder(order: OrderControl, refused: string, done?: () => void) {
  return useMutation({
    mutationFn: order,
    onSuccess: done,
    onError: (error) => showError(refused, error),
  });
}

/** Renews control while the desktop is shown. A refused renewal means that another user has control. */
function useRenewal(order: OrderControl, term: number | null): void {
  const latest = useRef(order);
  latest.current = order;
  useEffect(() => {
    if (term === null) return;
    let timer: ReturnType<typeof setTimeout>;
    let ended = false;
    const again = (milliseconds: number) => {
      if (!ended) timer = setTimeout(renew, milliseconds);
    };
    const renew = () =>
      void latest.current({ holder: 'person', term }).then(
        ({ away_s }) => again((away_s * 1000) / RENEWALS),
        () => again(AGAIN_MS),
      );
    renew();
    return () => {
      ended = true;
      clearTimeout(timer);
    };
  }, [term]);
}

/** Hands control back when the user leaves the page, so that the program does not wait. */
function useHandBackWhenLeft(order: OrderControl, term: number | null): void {
  const latest = useRef({ order, term });
  latest.current = { order, term };
  useEffect(() => {
    const seen = latest;
    return () => {
      const { order: say, term: held } = seen.current;
      if (held !== null) void say({ holder: 'program', term: held }).catch((error: unknown) => console.warn(error));
    };
  }, []);
}
