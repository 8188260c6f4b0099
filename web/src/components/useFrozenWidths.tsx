import { type ReactNode, type RefObject, useLayoutEffect, useState } from 'react';

/**
 * The automatic widths of the columns as a `colgroup`; null until they are measured.
 *
 * `columns` names all columns. Without fixed widths, the columns would move when rows are added or removed during scrolling.
 */
export function useFrozenWidths(
  body: RefObject<HTMLTableSectionElement | null>,
  freeze: boolean,
  columns: string,
): ReactNode {
  const [frozen, setFrozen] = useState<{ columns: string; percent: number[] } | null>(null);
  const isFrozen = frozen?.columns === columns;
  // eslint-disable-next-line react-hooks/exhaustive-deps -- after each rendering, until there are rows to measure
  useLayoutEffect(() => {
    const table = body.current?.closest('table');
    if (!freeze || isFrozen || !table || !body.current?.querySelector('[data-row]')) return;
    const widths = [...table.querySelectorAll('th')].map((heading) => heading.getBoundingClientRect().width);
    const sum = widths.reduce((total, width) => total + width, 0);
    if (sum > 0) setFrozen({ columns, percent: widths.map((width) => (100 * width) / sum) });
  });
  if (!freeze || !isFrozen) return null;
  return (
    <colgroup>
      {frozen.percent.map((percent, index) => (
        <col key={index} style={{ width: `${percent}%` }} />
      ))}
    </colgroup>
  );
}
