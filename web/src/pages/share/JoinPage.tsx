import { t } from '@lingui/core/macro';
import { Trans } from '@lingui/react/macro';
import { Button, Stack, Text, TextInput } from '@mantine/core';
import { useMutation, useQuery } from '@tanstack/react-query';
import { type ReactNode, useEffect, useState } from 'react';
import { Link, useLocation, useParams } from 'react-router';
import { meQuery } from '../../api/auth';
import { isGone, messageOf, retryTemporary } from '../../api/client';
import { programOf } from '../../api/control';
import { comeBack, invitationQuery, join, type Joined, remembered } from '../../api/sharing';
import type { Schemas } from '../../api/types';
import { useLateWords } from '../../components/feedback';
import { Login } from '../Login';
import { Desktop } from '../session/Desktop';
import { Recorded } from '../session/Recorded';
import { StageFrame } from '../session/Stage';
import { StageCard } from '../session/StageCard';
import { NEVER_IDLE } from '../session/useOutOfSight';
import { Veil } from '../session/Veil';
import styles from './JoinPage.module.css';

/** `/join/<share>#<secret>`: the shared session of another user, for the recipients of its link. */
export function JoinPage() {
  const { shareId = '' } = useParams();
  const { hash } = useLocation();
  const stored = remembered.of(shareId);
  return <Joining key={shareId} shareId={shareId} token={hash.slice(1)} stored={stored} />;
}

interface Props {
  shareId: string;
  /** The secret of the link; empty for viewers who return. */
  token: string;
  /** The token of the viewer after an earlier join. */
  stored: string | null;
}

export function Joining({ shareId, token, stored }: Props) {
  const [joined, setJoined] = useState<Joined | null>(null);
  const back = useMutation({ mutationFn: (own: string) => comeBack(shareId, own), retry: retryTemporary });
  const { mutate: goBack } = back;
  useEffect(() => {
    if (stored) goBack(stored, { onSuccess: setJoined, onError: () => remembered.forget(shareId) });
  }, [stored, goBack, shareId]);
  if (joined) return <SharedDesktop joined={joined} />;
  if (stored && !back.isError) return <Waiting />;
  if (!token)
    return <Refused words={back.error ? messageOf(back.error) : t`This address is incomplete. Ask for a new one.`} />;
  return (
    <Invited
      shareId={shareId}
      token={token}
      onJoined={(one) => {
        remembered.keep(one);
        setJoined(one);
      }}
    />
  );
}

interface InvitedProps {
  shareId: string;
  token: string;
  onJoined: (joined: Joined) => void;
}

function Invited({ shareId, token, onJoined }: InvitedProps) {
  const me = useQuery(meQuery);
  const userId = me.data?.user.user_id ?? null;
  const { data, error } = useQuery({ ...invitationQuery(shareId, token, userId), enabled: me.data !== undefined });
  if (isGone(error)) return <Refused words={messageOf(error)} />;
  if (!data) return error ? <Refused words={messageOf(error)} /> : <Waiting />;
  if (data.needs_log_in) return <Login />;
  if (data.reason) return <Refused words={data.reason} />;
  return <Welcome invitation={data} token={token} isUser={userId !== null} onJoined={onJoined} />;
}

interface WelcomeProps {
  invitation: Schemas['InvitationView'];
  token: string;
  isUser: boolean;
  onJoined: (joined: Joined) => void;
}

function Welcome({ invitation, token, isUser, onJoined }: WelcomeProps) {
  const [name, setName] = useState('');
  const enter = useMutation({
    mutationFn: () => join(invitation.share_id, token, name.trim()),
    retry: retryTemporary,
    onSuccess: onJoined,
  });
  const { owner, image_friendly_name: workspace } = invitation;
  return (
    <StageFrame>
      <StageCard
        title={t`${owner} shares ${workspace}`}
        reason={
          invitation.access === 'control'
            ? t`You can use the keyboard and the pointer. ${owner} sees that you are connected.`
            : t`You can watch. ${owner} sees that you are connected.`
        }
      >
        <form
          onSubmit={(event) => {
            event.preventDefault();
            enter.mutate();
          }}
        >
          <Stack>
            {!isUser && (
              <TextInput
                label={t`Your name`}
                description={t`The other viewers of the session see this name.`}
                required
                withAsterisk={false}
                maxLength={60}
                autoComplete="name"
                value={name}
                onChange={(event) => setName(event.currentTarget.value)}
              />
            )}
            {enter.isError && (
              <Text size="sm" className={styles.refused} role="alert">
                {messageOf(enter.error)}
              </Text>
            )}
            <Button type="submit" loading={enter.isPending}>
              <Trans>Join</Trans>
            </Button>
          </Stack>
        </form>
      </StageCard>
    </StageFrame>
  );
}

function SharedDesktop({ joined }: { joined: Joined }) {
  const { owner: name, image_friendly_name: workspace } = joined;
  const owner = name ?? '';
  return (
    <StageFrame>
      <Desktop
        frameUrl={joined.frame_url}
        closed={t`${owner} has ended the sharing or the session.`}
        note={null}
        program={programOf(joined)}
        idle={NEVER_IDLE}
        watermark={joined.watermark}
        recorded={joined.recorded}
        title={t`${owner}’s ${workspace}`}
        tools={null}
      />
      {joined.recorded && <Recorded />}
    </StageFrame>
  );
}

export function Waiting() {
  const late = useLateWords();
  return (
    <StageFrame>
      <Veil words={late ?? t`Loading`} />
    </StageFrame>
  );
}

export function Refused({ words }: { words: ReactNode }) {
  return (
    <StageFrame>
      <StageCard title={t`This address cannot be opened`} reason={words}>
        <Button component={Link} to="/">
          <Trans>To the workspaces</Trans>
        </Button>
      </StageCard>
    </StageFrame>
  );
}
