import { CopyButton, VisuallyHidden } from '@mantine/core';
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
          data-hint={copied ? 'Copied' : `${id} (copy)`}
        >
          <VisuallyHidden>Copy </VisuallyHidden>
          <code className="short-id">{shortId(id)}</code>
        </button>
      )}
    </CopyButton>
  );
}
