import { useEffect, useMemo, useRef } from 'react';
import type { StageMap } from '../api/stageMap';
import { type Looks, looksOf } from './looks';

/** The colors of the workspaces, which stay while the page is open. */
export function useLooks(map: StageMap | undefined): Looks {
  const before = useRef<Looks>(new Map());
  const looks = useMemo(() => looksOf(before.current, map?.sessions ?? []), [map]);
  useEffect(() => {
    before.current = looks;
  }, [looks]);
  return looks;
}
