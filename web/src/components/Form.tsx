import { Alert, Button, Group, type ModalProps, Stack } from '@mantine/core';
import type { UseFormReturnType } from '@mantine/form';
import { useMutation, useQueryClient } from '@tanstack/react-query';
import type { ReactNode } from 'react';
import { retryTemporary } from '../api/client';
import { showWarning } from './feedback';
import { errorsOf, sentenceOf, warningsOf } from './saving';
import { Dialog } from './Dialog';

interface FrameProps<Values, Saved> {
  /** The form of `useForm`, with its values and the errors of its fields. */
  form: UseFormReturnType<Values>;
  /** `before` has the initial or the last saved values: see `changed`. */
  save: (values: Values, before: Values) => Promise<Saved>;
  /** Lists to read again afterwards. */
  touched: string[];
  onSaved?: (saved: Saved) => void;
  onCancel?: () => void;
  /** The label of the button. */
  submit?: string;
  /** The form cannot be sent yet. */
  incomplete?: boolean;
  /** The request may be sent twice. It is repeated if there is no answer. */
  repeatable?: boolean;
  /** The user may view the values, but not change them. */
  readOnly?: boolean;
  children: ReactNode;
}

/**
 * The form of the console: fields, the error of the server, Cancel and Submit.
 *
 * Warnings of the server are shown as notices, also on the next page. Errors of fields are shown at their fields, other
 * errors above the buttons. After an error, the form keeps its values.
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

/** A form in a dialog. The dialog closes after saving. A click outside does not close it if a value was changed. */
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
