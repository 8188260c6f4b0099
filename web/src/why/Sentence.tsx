import { Link } from 'react-router';
import { useMe } from '../api/auth';
import type { Decision } from '../api/types';
import { addressOf } from '../components/objects';
import { readable } from './why';

/** A sentence in parts. The objects that it names are links, if the user may open them. */
export function Sentence({ parts }: { parts: Decision['answer'] }) {
  const me = useMe();
  return parts.map(({ text, object }, index) => {
    const to = object && addressOf(object, me);
    return to ? (
      <Link key={index} to={to}>
        {text}
      </Link>
    ) : (
      readable(text)
    );
  });
}
