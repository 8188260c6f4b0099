import { Link } from 'react-router';
import { useMe } from '../api/auth';
import type { ObjectRef, SentencePart } from '../api/types';
import { namedParts } from './names';
import { addressOf } from './objects';
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
