import { Trans as Message, type TransProps } from '@lingui/react';

/**
 * A message with elements, to which the macro `Trans` is compiled.
 *
 * The library looks for elements after it inserted the texts, so a name such as `<b>` would become markup. Therefore
 * texts are elements, too.
 */
export function Trans({ values, ...message }: TransProps) {
  return <Message {...message} {...(values && { values: asElements(values) })} />;
}

function asElements(values: Record<string, unknown>): Record<string, unknown> {
  return Object.fromEntries(
    Object.entries(values).map(([name, value]) => [name, typeof value === 'string' ? [value] : value]),
  );
}
