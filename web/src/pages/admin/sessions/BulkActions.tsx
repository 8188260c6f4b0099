import { Button } from '@mantine/core';
import { useMutation, useQueryClient } from '@tanstack/react-query';
import { useState } from 'react';
import { orderSession } from '../../../api/actions';
import { messageOf } from '../../../api/client';
import type { Session, SessionAction } from '../../../api/types';
import { ConfirmDialog } from '../../../components/Confirm';
import { showError } from '../../../components/feedback';
import { counted } from '../../../components/format';
import { ownerOf } from './kinds';
import { ACTIONS, offered } from '../../../components/sessionActions';

/** Actions for several sessions. Each button shows the number of sessions that allow the action. */
export function BulkActions({ sessions, onDone }: { sessions: Session[]; onDone: () => void }) {
  const [asked, setAsked] = useState<SessionAction | null>(null);
  const fitting = (action: SessionAction) => sessions.filter(({ actions }) => actions.includes(action));
  const choices = offered(sessions.flatMap(({ actions }) => actions));
  const run = useOrders(onDone);
  const chosen = asked ? fitting(asked) : [];
  return (
    <>
      {choices.map((action) => {
        const { label, icon: Icon, warning } = ACTIONS[action];
        const fits = fitting(action);
        const count = fits.length < sessions.length ? ` ${fits.length} of ${sessions.length}` : '';
        return (
          <Button
            key={action}
            size="compact-sm"
            variant="default"
            leftSection={<Icon size={15} aria-hidden />}
            loading={run.isPending}
            onClick={() => (warning ? setAsked(action) : run.mutate({ action, sessions: fits }, { onError: refuse }))}
          >
            {label}
            {count}
          </Button>
        );
      })}
      <ConfirmDialog
        opened={asked !== null}
        onClose={() => setAsked(null)}
        title={`${asked ? ACTIONS[asked].label : ''} ${counted(chosen.length, 'session')}?`}
        action={asked ? ACTIONS[asked].label : ''}
        onConfirm={() => (asked ? run.mutateAsync({ action: asked, sessions: chosen }) : Promise.resolve())}
      >
        {asked && ACTIONS[asked].warning}
        <ul>
          {chosen.slice(0, MOST_NAMED).map((session) => (
            <li key={session.session_id}>
              {session.image_friendly_name} of {ownerOf(session)}
            </li>
          ))}
          {chosen.length > MOST_NAMED && <li>and {chosen.length - MOST_NAMED} more</li>}
        </ul>
      </ConfirmDialog>
    </>
  );
}

const MOST_NAMED = 10;
const refuse = (error: unknown) => showError('Not all sessions were changed', error);

/** Sends one request per session. The error at the end names the refused ones; the others are done. */
function useOrders(onDone: () => void) {
  const queries = useQueryClient();
  return useMutation({
    mutationFn: async ({ action, sessions }: { action: SessionAction; sessions: Session[] }) => {
      const results = await Promise.allSettled(sessions.map((session) => orderSession(session, action)));
      const refused = results.flatMap((each) => (each.status === 'rejected' ? [messageOf(each.reason)] : []));
      if (refused.length > 0)
        throw new Error(
          `The action was refused for ${refused.length} of ${counted(sessions.length, 'session')}. ${refused[0] ?? ''}`,
        );
    },
    onSuccess: onDone,
    onSettled: () =>
      Promise.all([
        queries.invalidateQueries({ queryKey: ['sessions'] }),
        queries.invalidateQueries({ queryKey: ['staging-configs'] }),
      ]),
  });
}
