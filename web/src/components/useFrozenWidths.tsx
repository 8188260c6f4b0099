import { type ReactNode, type RefObject, useLayoutEffect, useState } from 'react';

interface Frozen {
  columns: string;
  space: number;
  widths: number[];
}

/** Fixed widths of columns, and the width of their table. */
export interface FrozenWidths {
  columns: ReactNode;
  table: number;
}

/**
 * The automatic widths of the columns; null until they are measured.
 *
 * `columns` names all columns. Without fixed widths, the columns would move when rows are added or removed during scrolling.
 * They are measured again if the space of the table changes, so that no column becomes narrower than its content.
 */
export function useFrozenWidths(
  body: RefObject<HTMLTableSectionElement | null>,
  freeze: boolean,
  columns: string,
): FrozenWidths | null {
  const [frozen, setFrozen] = useState<Frozen | null>(null);
  const space = useAvailableSpace(body, freeze);
  const isFrozen = frozen !== null && frozen.columns === columns && frozen.space === space;
  // eslint-disable-next-line react-hooks/exhaustive-deps -- after each rendering, until there are rows to measure
  useLayoutEffect(() => {
    const table = body.current?.closest('table');
    if (!freeze || isFrozen || !space || !table || !body.current?.querySelector('[data-row]')) return;
    const widths = [...table.querySelectorAll('th')].map((heading) => heading.getBoundingClientRect().width);
    if (widths.some((width) => width > 0)) setFrozen({ columns, space, widths }); // cards have no headings
  });
  if (!freeze || !isFrozen) return null;
  return {
    columns: (
      <colgroup>
        {frozen.widths.map((width, index) => (
          <col key={index} style={{ width }} />
        ))}
      </colgroup>
    ),
    table: frozen.widths.reduce((total, width) => total + width, 0),
  };
}

/** The width that a table can have; 0 until it is measured. */
function useAvailableSpace(body: RefObject<HTMLTableSectionElement | null>, wanted: boolean): number {
  const [space, setSpace] = useState(0);
  useLayoutEffect(() => {
    const around = body.current?.closest('table')?.parentElement;
    if (!wanted || !around) return;
    const look = () => setSpace(around.clientWidth);
    look();
    const observer = new ResizeObserver(look);
    observer.observe(around);
    return () => observer.disconnect();
  }, [body, wanted]);
  return space;
}
