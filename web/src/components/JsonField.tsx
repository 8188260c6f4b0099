import { Textarea, type TextareaProps } from '@mantine/core';
import { example } from './example';

/** A field for a JSON object (see json.ts), in a monospaced font. Its height follows its text. `placeholder` is an example. */
export function JsonField({ placeholder, minRows = 2, ...props }: TextareaProps) {
  return (
    <Textarea
      autosize
      minRows={minRows}
      maxRows={18}
      placeholder={placeholder === undefined ? '{}' : example(placeholder)}
      spellCheck={false}
      styles={{
        input: { fontFamily: 'var(--mantine-font-family-monospace)', fontSize: 'var(--mantine-font-size-xs)' },
      }}
      {...props}
    />
  );
}
