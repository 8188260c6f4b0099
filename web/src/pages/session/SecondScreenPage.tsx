import { i18n } from '@lingui/core';
import { t } from '@lingui/core/macro';
import { Trans } from '@lingui/react/macro';
import { useEffect, useRef, useState } from 'react';
import { StageFrame } from './Stage';
import { StageCard } from './StageCard';
import type { SecondScreenMessage } from './useSecondScreen';
import { Watermark } from './Watermark';

/** The window of a second screen. It frames a page of the session, which gets its content from the first window. */
export function SecondScreenPage() {
  const [given, setGiven] = useState<Exclude<SecondScreenMessage['greenroomScreen'], string> | null>(null);
  const frame = useRef<HTMLIFrameElement>(null);
  const first = window.opener as Window | null;

  useEffect(() => {
    const receive = ({ data, origin, source }: MessageEvent<Partial<SecondScreenMessage> | null>) => {
      if (origin !== location.origin || source !== first || typeof data?.greenroomScreen !== 'object') return;
      setGiven(data.greenroomScreen);
    };
    window.addEventListener('message', receive);
    first?.postMessage({ greenroomScreen: 'ready' } satisfies SecondScreenMessage, location.origin);
    return () => window.removeEventListener('message', receive);
  }, [first]);

  useEffect(() => {
    if (given === null) return;
    const { url, port } = given;
    const { origin } = new URL(url);
    const receive = ({ data, source }: MessageEvent<{ greenroom?: number; type?: string } | null>) => {
      const page = frame.current?.contentWindow;
      if (!page || source !== page || data?.greenroom !== 1) return;
      if (data.type === 'closed') window.close();
      if (data.type === 'menu') first?.focus(); // the menu is there
      if (data.type !== 'ready') return;
      page.postMessage({ greenroom: 1, type: 'hello', language: i18n.locale }, origin);
      page.postMessage({ greenroom: 1, type: 'screen', port }, origin, [port]);
    };
    window.addEventListener('message', receive);
    return () => window.removeEventListener('message', receive);
  }, [given, first]);

  return (
    <StageFrame>
      {given && <iframe ref={frame} src={given.url} title={t`Second screen`} allow="fullscreen" />}
      {typeof given?.watermark === 'string' && <Watermark text={given.watermark} />}
      {first === null && (
        <StageCard title={t`No session`} reason={t`Open a second screen from the menu of a session.`}>
          <p>
            <Trans>Close this window and open the second screen there.</Trans>
          </p>
        </StageCard>
      )}
    </StageFrame>
  );
}
