import { useEffect, useState } from 'react';

/** Whether the condition has been true for this time. */
export function useAfter(milliseconds: number, condition: boolean): boolean {
  const [passed, setPassed] = useState(false);
  useEffect(() => {
    setPassed(false);
    if (!condition) return;
    const timer = setTimeout(() => setPassed(true), milliseconds);
    return () => clearTimeout(timer);
  }, [condition, milliseconds]);
  return passed;
}
