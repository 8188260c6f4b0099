import { useEffect, useState } from 'react';

/**
 * Whether a part that is loaded late is open. It is not open when it is mounted: Mantine remembers the element that had the
 * focus when a mounted part opens, and returns the focus to it.
 */
export function useOpenedAfterMount(opened: boolean): boolean {
  const [isMounted, setMounted] = useState(false);
  useEffect(() => setMounted(true), []);
  return isMounted && opened;
}

/** Whether `wanted` was true at least once. A part that was loaded stays, so that it can close. */
export function useOnceWanted(wanted: boolean): boolean {
  const [was, setWas] = useState(wanted);
  if (wanted && !was) setWas(true);
  return was || wanted;
}
