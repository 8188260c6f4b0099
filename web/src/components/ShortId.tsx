import { Code, CopyButton, Tooltip, UnstyledButton, VisuallyHidden } from '@mantine/core';
import { shortId } from './format';

/** An id, shortened if it is a uuid; pressing it copies the whole. */
export function ShortId({ id }: { id: string }) {
  return (
    <CopyButton value={id}>
      {({ copied, copy }) => (
        <Tooltip label={copied ? 'Copied' : `${id} (copy)`}>
          <UnstyledButton onClick={copy}>
            <VisuallyHidden>Copy </VisuallyHidden>
            <Code className="nowrap">{shortId(id)}</Code>
          </UnstyledButton>
        </Tooltip>
      )}
    </CopyButton>
  );
}
