import type { ReactNode } from 'react';

/** The number of letters up to which a text is never cut. */
const SHORT = 16;

/** Whether a text may be cut at the width of its column. */
export function isLong(text: ReactNode): boolean {
  return typeof text !== 'string' || text.length > SHORT;
}

interface Props {
  children: ReactNode;
  /** Where a line is cut. The names of images and hosts differ at their end. */
  at?: 'start' | 'end';
  /** The column is wide enough for most addresses of users. */
  wide?: boolean;
}

/** A text of a row, cut at the width of its column. The whole text is its hint. */
export function Cut({ children, at = 'end', wide = false }: Props) {
  if (!isLong(children)) return <span className="nowrap">{children}</span>;
  return (
    <div className="row-cut-cell" data-wide={wide || undefined}>
      <span className="row-cut" data-at={at} data-whole>
        {at === 'start' ? <bdi dir="ltr">{children}</bdi> : children}
      </span>
    </div>
  );
}
