import { plural, t } from '@lingui/core/macro';
import { Anchor } from '@mantine/core';
import { useQuery } from '@tanstack/react-query';
import { IconUsersGroup } from '@tabler/icons-react';
import { useEffect, useRef } from 'react';
import { useAllowed } from '../../api/auth';
import { sharesQuery, sharingQuery, type Viewer, viewersQuery } from '../../api/sharing';
import type { Session } from '../../api/types';
import { showDone } from '../../components/feedback';
import { withTitles } from '../../components/titles';
import { usePanels } from '../session/panels';
import { ToolRow } from '../session/ToolRow';
import { SharePanel } from './SharePanel';

/** The row in the menu of a session that shows its viewers and shares. It stays usable while there are some. */
export function Company({ session: { session_id: sessionId, user_id: userId } }: { session: Session }) {
  const panels = usePanels();
  const allowed = useAllowed();
  const open = panels.open === 'share';
  const viewers = useQuery(viewersQuery(sessionId));
  const shares = useQuery(sharesQuery(sessionId));
  const { data: rules } = useQuery(sharingQuery(sessionId));
  useNotices(viewers.data);
  const count = viewers.data?.length ?? 0;
  const isRefused = rules?.allowed === false && count === 0 && shares.data?.length === 0;
  const others = plural(count, { one: '# other is in this session', other: '# others are in this session' });
  return (
    <>
      <ToolRow
        name={t({ message: 'Share', context: 'verb' })}
        hint={count === 0 ? t`Let others watch or help` : others}
        refused={isRefused ? withTitles(rules.reason ?? '') : null}
        help={
          allowed('users_view') && (
            <Anchor
              href={`/admin/users/${userId}?tab=settings&q=allow_kasm_sharing`}
              target="_blank"
              rel="noreferrer"
              size="xs"
            >
              {t`Show the setting`}
            </Anchor>
          )
        }
        icon={IconUsersGroup}
        count={count}
        onClick={() => panels.toggle('share')}
      />
      {open && (
        <SharePanel
          sessionId={sessionId}
          shares={shares.data ?? []}
          viewers={viewers.data ?? []}
          onClose={panels.close}
        />
      )}
    </>
  );
}

/** Shows notices when viewers join, leave or get other rights. */
function useNotices(viewers: Viewer[] | undefined) {
  const before = useRef<Map<string, Viewer> | null>(null);
  useEffect(() => {
    if (viewers === undefined) return;
    const now = new Map(viewers.map((viewer) => [viewer.viewer_id, viewer]));
    const known = before.current ?? new Map<string, Viewer>();
    for (const [id, viewer] of now)
      if (known.get(id)?.announcement !== viewer.announcement) showDone(viewer.announcement, 'blue');
    for (const [id, { name }] of known) if (!now.has(id)) showDone(t`${name} left`, 'gray');
    before.current = now;
  }, [viewers]);
}
