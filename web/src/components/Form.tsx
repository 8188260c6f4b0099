import { Alert, Button, Group, type ModalProps, Stack } from '@mantine/core';
import type { UseFormReturnType } from '@mantine/form';
import { useMutation, useQueryClient } from '@tanstack/react-query';
import type { ReactNode } from 'react';
import { retryTemporary } from '../api/client';
import { showWarning } from './feedback';
import { errorsOf, sentenceOf, warningsOf } from './saving';
import { Dialog } from './Dialog';

interface FrameProps<Values, Saved> {
  /** Of `useForm`: its values, and where each refusal of a field is shown. */
  form: UseFormReturnType<Values>;
  /** `before` is what the form began with, or what was saved last: see `changed`. */
  save: (values: Values, before: Values) => Promise<Saved>;
  /** Lists to read again afterwards. */
  touched: string[];
  onSaved?: (saved: Saved) => void;
  onCancel?: () => void;
  /** The word on the button. */
  submit?: string;
  /** Nothing can be sent yet. */
  incomplete?: boolean;
  /** Sending it twice does no harm: it is sent again when no answer came. */
  repeatable?: boolean;
  /** The person may look, and not change. */
  readOnly?: boolean;
  children: ReactNode;
}

/**
 * The one form of the console: fields, the server's message of a refusal, Cancel and Submit.
 *
 * Warnings of the server about what was saved are shown wherever the form leads. What the server says about a field is shown at that field, the rest above the buttons; nothing typed is lost.
 */
export function FormFrame<Values extends object, Saved>(props: FrameProps<Values, Saved>) {
  const { form, save, touched, onSaved, onCancel, submit = 'Submit', incomplete = false, children } = props;
  const { readOnly = false, repeatable = false } = props;
  const queries = useQueryClient();
  const run = useMutation({
    mutationFn: (values: Values) => save(values, form.getInitialValues()),
    retry: repeatable && retryTemporary,
    onSuccess: async (saved, values) => {
      form.setInitialValues(values);
      form.resetDirty();
      const warnings = warningsOf(saved);
      if (warnings.length > 0) showWarning('Saved with warnings', warnings.join(' '));
      await Promise.all(touched.map((key) => queries.invalidateQueries({ queryKey: [key] })));
      onSaved?.(saved);
    },
    onError: (error) => {
      const errors = errorsOf(form.getValues(), error);
      form.setErrors(errors);
      form.getInputNode(Object.keys(errors)[0] ?? '')?.focus();
    },
  });
  return (
    <form
      onSubmit={form.onSubmit(
        (values) => run.mutate(values),
        (errors) => form.getInputNode(Object.keys(errors)[0] ?? '')?.focus(),
      )}
    >
      <Stack>
        <fieldset disabled={readOnly} className="plain">
          <Stack>{children}</Stack>
        </fieldset>
        {run.isError && (
          <Alert color="red" variant="light" role="alert" title="Not saved" ref={showIt}>
            {sentenceOf(form.getValues(), run.error)}
          </Alert>
        )}
        <Group justify="flex-end">
          {onCancel && (
            <Button variant="default" onClick={onCancel}>
              Cancel
            </Button>
          )}
          {!readOnly && (
            <Button type="submit" loading={run.isPending} disabled={incomplete}>
              {submit}
            </Button>
          )}
        </Group>
      </Stack>
    </form>
  );
}

interface DialogProps<Values, Saved> extends Omit<FrameProps<Values, Saved>, 'onCancel'> {
  title: string;
  size?: ModalProps['size'];
  onClose: () => void;
}

/** A form in a dialogue; it closes when it was saved, and not by a stray click while something is typed in it. */
export function FormDialog<Values extends object, Saved>(props: DialogProps<Values, Saved>) {
  const { title, size = 'md', onClose, onSaved, ...frame } = props;
  const done = (saved: Saved) => {
    onClose();
    onSaved?.(saved);
  };
  return (
    <Dialog title={title} onClose={onClose} size={size} closeOnClickOutside={!frame.form.isDirty()}>
      <FormFrame {...frame} onSaved={done} onCancel={onClose} />
    </Dialog>
  );
}

function showIt(element: HTMLElement | null): void {
  element?.scrollIntoView({ block: 'nearest' });
}
