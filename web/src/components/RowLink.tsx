import { createContext, type ReactNode, use } from 'react';
import { Link } from 'react-router';
import { PANEL, useIsInPanel } from './address';
import { isLong } from './Cut';

/** The item in the panel beside the list: the path of its page, or its row. */
export const OpenItemContext = createContext<string | null>(null);

interface LinkProps {
  to: string;
  children: ReactNode;
  /** Shown beside the name in small letters. */
  note?: ReactNode;
  /** Where a long name is cut. The names of hosts differ at their end. */
  at?: 'start' | 'end';
}

/** The name of the item of a row, as a link to its page. A long name is cut at the width of its column. */
export function RowLink({ to, children, note, at = 'end' }: LinkProps) {
  const isOpen = use(OpenItemContext) === to.split('?', 1)[0];
  return (
    <Named name={children} note={note}>
      <Link
        to={to}
        className="row-link mantine-focus-auto"
        data-whole
        data-at={at}
        aria-current={isOpen ? 'true' : undefined}
      >
        {at === 'start' ? <bdi dir="ltr">{children}</bdi> : children}
      </Link>
    </Named>
  );
}

interface PanelLinkProps extends Pick<LinkProps, 'children' | 'note'> {
  /** The key of the row, after `table:` in a second table of a page. */
  row: string;
}

/** The name of the item of a row that has no page: a link that shows the row in the panel. In the panel, only the name. */
export function RowPanelLink({ row, children, note }: PanelLinkProps) {
  const isOpen = use(OpenItemContext) === row;
  if (useIsInPanel()) return <RowName note={note}>{children}</RowName>;
  return (
    <Named name={children} note={note}>
      <Link
        to={{ search: `?${PANEL}=${encodeURIComponent(row)}` }}
        className="row-link mantine-focus-auto"
        data-whole
        data-panel-row={row}
        aria-current={isOpen ? 'true' : undefined}
      >
        {children}
      </Link>
    </Named>
  );
}

/** The name of the item of a row that has neither a page nor a panel. */
export function RowName({ children, note }: { children: ReactNode; note?: ReactNode }) {
  return (
    <Named name={children} note={note}>
      <span className="row-name" data-whole>
        {children}
      </span>
    </Named>
  );
}

/** Gives a long name, or a name with a note, its place in the column. Other names need none. */
function Named({ name, note, children }: { name: ReactNode; note: ReactNode; children: ReactNode }) {
  const long = typeof name === 'string' && isLong(name);
  if (!long && !note) return children;
  return (
    <div className="row-named" data-long={long || undefined}>
      {children}
      {note && (
        <div className="row-note" data-whole>
          {note}
        </div>
      )}
    </div>
  );
}
