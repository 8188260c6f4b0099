import type { ReactNode } from 'react';

interface Props {
  children: ReactNode;
  /** The number of lines after which the text is cut. */
  lines?: 1 | 2;
  /** Where a line is cut. The names of images differ at their end. */
  at?: 'start' | 'end';
  /** The column is wide enough for most addresses of users. */
  wide?: boolean;
}

/** A text of a row, cut at the width of its column. The whole text is its hint. */
export function Cut({ children, lines = 1, at = 'end', wide = false }: Props) {
  return (
    <div className="row-cut-cell" data-wide={wide || undefined}>
      <span className="row-cut" data-lines={lines} data-at={at} data-whole>
        {at === 'start' ? <bdi dir="ltr">{children}</bdi> : children}
      </span>
    </div>
  );
}
