import type { ReactNode } from 'react';

interface Props {
  children: ReactNode;
  /** The number of lines after which the text is cut. */
  lines?: 1 | 2;
}

/** A text of a row, cut at the width of its column. The whole text is its hint. */
export function Cut({ children, lines = 1 }: Props) {
  return (
    <div className="row-cut-cell">
      <span className="row-cut" data-lines={lines} data-whole>
        {children}
      </span>
    </div>
  );
}
