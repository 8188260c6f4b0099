import { createContext, type ReactNode, use } from 'react';
import { Link } from 'react-router';
import { isLong } from './Cut';

/** The path of the item in the panel beside the list. */
export const OpenPathContext = createContext<string | null>(null);

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
  const isOpen = use(OpenPathContext) === to.split('?', 1)[0];
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

/** The name of the item of a row, if the item has no page. */
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
