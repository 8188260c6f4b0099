import { useMediaQuery } from '@mantine/hooks';
import { type RefObject, useLayoutEffect, useMemo, useState } from 'react';
import { type Column, withoutLast } from './tableState';

/** Windows whose lists hide columns: those that are wide enough for a table, and not for all tables. */
const MIDDLE = '(min-width: 40em) and (max-width: 74.99em)';

/** The space may change by a scrollbar when columns are hidden. They are not shown again then. */
const SCROLLBAR_PX = 24;

interface Hidden {
  /** The keys of the columns. */
  of: string;
  space: number;
  count: number;
}

/**
 * The columns without the last less important ones, as many as the table has no space for. `enabled`: there are rows to
 * measure, and the user did not choose the columns.
 */
export function useFittingColumns<Row>(
  body: RefObject<HTMLTableSectionElement | null>,
  columns: Column<Row>[],
  enabled: boolean,
): Column<Row>[] {
  const isMiddle = useMediaQuery(MIDDLE, false, { getInitialValueInEffect: false });
  const isActive = enabled && isMiddle;
  const [space, setSpace] = useState(0);
  const keys = columns.map(({ key }) => key).join(' '); // the array may be new at each rendering
  const [hidden, setHidden] = useState<Hidden>({ of: keys, space, count: 0 });
  const isCurrent = hidden.of === keys && Math.abs(hidden.space - space) <= SCROLLBAR_PX;
  const count = isActive && isCurrent ? hidden.count : 0;
  const fitting = useMemo(() => withoutLast(columns, count), [columns, count]);
  useLayoutEffect(() => {
    const scroller = body.current?.closest('[role=region]');
    if (!isActive || !scroller) return;
    const look = () => setSpace(scroller.clientWidth);
    look();
    const observer = new ResizeObserver(look);
    observer.observe(scroller);
    return () => observer.disconnect();
  }, [body, isActive]);
  // eslint-disable-next-line react-hooks/exhaustive-deps -- after each rendering, until the columns fit
  useLayoutEffect(() => {
    const scroller = body.current?.closest('[role=region]');
    if (!isActive || !space || !scroller || scroller.scrollWidth <= scroller.clientWidth) return;
    if (withoutLast(columns, count + 1).length < fitting.length) setHidden({ of: keys, space, count: count + 1 });
  });
  return fitting;
}
