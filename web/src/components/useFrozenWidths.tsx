import { type ReactNode, type RefObject, useLayoutEffect, useState } from 'react';

/**
 * The widths that the columns took by themselves, as a `colgroup`; null while they find them.
 *
 * `columns` names them all. Of a table whose rows come and go while it is scrolled the columns would move with each of them.
 */
export function useFrozenWidths(
  body: RefObject<HTMLTableSectionElement | null>,
  freeze: boolean,
  columns: string,
): ReactNode {
  const [frozen, setFrozen] = useState<{ columns: string; percent: number[] } | null>(null);
  const isFrozen = frozen?.columns === columns;
  // eslint-disable-next-line react-hooks/exhaustive-deps -- after each drawing, until there are rows to measure
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
