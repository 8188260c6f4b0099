import { t } from '@lingui/core/macro';
import { Trans } from '@lingui/react/macro';
import { Alert, Button, Group, type ModalProps, Stack } from '@mantine/core';
import type { UseFormReturnType } from '@mantine/form';
import { useMutation, useQueryClient } from '@tanstack/react-query';
import type { ReactNode } from 'react';
import { retryTemporary } from '../api/client';
import { type Change, textOf } from './changes';
import { ChangesBar } from './ChangesBar';
import { Dialog } from './Dialog';
import { showDone, showWarning } from './feedback';
import { titled } from './format';
import { changed, errorsOf, sentenceOf, warningsOf } from './saving';
import { showUndo } from './undo';

/** A form on a page: its changes are listed in a bar, and can be undone. */
interface OnPage<Values> {
  /** The notice after saving. */
  saved: string;
  /** Reads the present values, to reverse the last changes. */
  read: () => Promise<Values>;
  /** The texts of values that are ids or have another form than their field, by field. */
  texts?: { [Name in keyof Values]?: (value: Values[Name]) => string };
}

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
  /** The form stands on a page, and not in a dialog. */
  page?: OnPage<Values> | undefined;
  children: ReactNode;
}

/**
 * The form of the console: fields, the error of the server, and Cancel and Submit, or the bar with the changes.
 *
 * Warnings of the server are shown as notices, also on the next page. Errors of fields are shown at their fields, other
 * errors above the buttons. After an error, the form keeps its values.
 */
export function FormFrame<Values extends object, Saved>(props: FrameProps<Values, Saved>) {
  const { form, save, touched, onSaved, onCancel, submit = t`Submit`, incomplete = false, children } = props;
  const { readOnly = false, repeatable = false, page } = props;
  const queries = useQueryClient();
  const refresh = () => Promise.all(touched.map((key) => queries.invalidateQueries({ queryKey: [key] })));
  const reverse = async (before: Values, after: Values) => {
    await save(before, after);
    form.setInitialValues(before);
    form.setValues(before);
    form.resetDirty();
    await refresh();
  };
  const run = useMutation({
    mutationFn: (values: Values) => save(values, form.getInitialValues()),
    retry: repeatable && retryTemporary,
    onSuccess: async (saved, values) => {
      if (page) announce(form, page, values, reverse);
      form.setInitialValues(values);
      form.resetDirty();
      const warnings = warningsOf(saved);
      if (warnings.length > 0) showWarning(t`Saved with warnings`, warnings.join(' '));
      await refresh();
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
        (values) => {
          const isUnchanged = page && Object.keys(changed(form.getInitialValues(), values)).length === 0;
          if (!isUnchanged) run.mutate(values);
        },
        (errors) => form.getInputNode(Object.keys(errors)[0] ?? '')?.focus(),
      )}
    >
      <Stack>
        <fieldset disabled={readOnly} className="plain">
          <Stack>{children}</Stack>
        </fieldset>
        {run.isError && !page && (
          <Alert color="red" variant="light" role="alert" title={t`Not saved`} ref={showIt}>
            {sentenceOf(form.getValues(), run.error)}
          </Alert>
        )}
        {page ? (
          <ChangesBar
            changes={readOnly ? [] : changesOf(form, page)}
            problems={run.isError ? 0 : Object.keys(form.errors).length}
            canSave={!incomplete}
            isSaving={run.isPending}
            error={run.isError ? sentenceOf(form.getValues(), run.error) : null}
            onDiscard={() => {
              run.reset();
              form.reset();
            }}
          />
        ) : (
          <Group justify="flex-end">
            {onCancel && (
              <Button variant="default" onClick={onCancel}>
                <Trans>Cancel</Trans>
              </Button>
            )}
            {!readOnly && (
              <Button type="submit" loading={run.isPending} disabled={incomplete}>
                {submit}
              </Button>
            )}
          </Group>
        )}
      </Stack>
    </form>
  );
}

type Form<Values> = UseFormReturnType<Values>;

/** The label of a field. The input of a field is in the document, with its label. */
function labelOf<Values extends object>(form: Form<Values>, name: string): string {
  const input = form.getInputNode(name);
  const label = input instanceof HTMLInputElement || input instanceof HTMLTextAreaElement ? input.labels?.[0] : null;
  const text = label?.textContent ?? input?.ariaLabel ?? titled(name.replaceAll('_', ' '));
  return text.replace(/\s*\*$/, '');
}

/** Whether the text of a field must not be shown. */
function isSecret<Values extends object>(form: Form<Values>, name: string): boolean {
  return form.getInputNode(name)?.getAttribute('type') === 'password';
}

/** The changed fields, with the values before and after. */
function changesOf<Values extends object>(form: Form<Values>, { texts }: OnPage<Values>): Change[] {
  const before = form.getInitialValues();
  const after = form.getValues();
  const names = Object.keys(changed(before, after)) as (keyof Values & string)[];
  return names.map((name) => {
    const show = texts?.[name] ?? textOf;
    const [old, now] = isSecret(form, name) ? ['', t`a new value`] : [show(before[name]), show(after[name])];
    return { name, title: labelOf(form, name), before: old, after: now };
  });
}

/** Announces that the form was saved. Secrets cannot be read, so a form with a new one cannot be undone. */
function announce<Values extends object>(
  form: Form<Values>,
  { saved, read }: OnPage<Values>,
  after: Values,
  reverse: (before: Values, after: Values) => Promise<void>,
): void {
  const before = form.getInitialValues();
  const values = changed(before, after) as Record<string, unknown>;
  const names = Object.keys(values);
  if (names.length === 0 || names.some((name) => isSecret(form, name))) {
    showDone(saved);
    return;
  }
  showUndo(saved, {
    saved: values,
    read: async () => {
      const present: object = await read();
      return present as Record<string, unknown>;
    },
    restore: () => reverse(before, after),
    titleOf: (name) => labelOf(form, name),
  });
}

interface DialogProps<Values, Saved> extends Omit<FrameProps<Values, Saved>, 'onCancel' | 'page'> {
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
