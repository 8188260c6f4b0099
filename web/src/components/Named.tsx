import { Button } from '@mantine/core';
import { Link } from 'react-router';
import { useMe } from '../api/auth';
import type { ObjectRef, SentencePart } from '../api/types';
import { namedParts } from './names';
import { addressOf, HELP } from './objects';
import { readable } from './titles';

/** The name of an object, as a link if the user may open its page. */
export function Named({ object, children }: { object: ObjectRef; children: string }) {
  const to = addressOf(object, useMe());
  return to ? <Link to={to}>{children}</Link> : <span>{children}</span>;
}

interface SentenceProps {
  parts: SentencePart[];
  /** Further names in the texts of the parts. */
  names?: SentencePart[];
}

/** A sentence whose names are links. Settings have their titles. */
export function NamedSentence({ parts, names = [] }: SentenceProps) {
  return namedParts(parts, names).map(({ text, object }, index) =>
    object ? (
      <Named key={index} object={object}>
        {text}
      </Named>
    ) : (
      readable(text)
    ),
  );
}

interface PageProps {
  to: string;
  /** What the page is about, for the name of the button. */
  about: string;
  children: string;
}

/** The button of a row that opens a page. Pages of the documentation open in a window of their own. */
export function PageButton({ to, about, children }: PageProps) {
  const look = { size: 'compact-sm', variant: 'default', 'aria-label': `${children}: ${about}` } as const;
  return to.startsWith(HELP) ? (
    <Button component="a" href={to} target="_blank" rel="noreferrer" {...look}>
      {children}
    </Button>
  ) : (
    <Button component={Link} to={to} {...look}>
      {children}
    </Button>
  );
}
