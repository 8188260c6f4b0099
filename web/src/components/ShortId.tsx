import { CopyButton } from '@mantine/core';
import { shortId } from './format';

/** An id, shortened if it is a UUID. Clicking it copies the whole id. */
export function ShortId({ id }: { id: string }) {
  return (
    <CopyButton value={id}>
      {({ copied, copy }) => (
        <button
          type="button"
          className="plain-button mantine-focus-auto"
          onClick={copy}
          aria-label={`Copy ${shortId(id)}`}
          data-hint={copied ? 'Copied' : `${id} (copy)`}
        >
          <code className="short-id">{shortId(id)}</code>
        </button>
      )}
    </CopyButton>
  );
}
