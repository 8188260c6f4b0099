import { t } from '@lingui/core/macro';
import { Trans } from '@lingui/react/macro';
import { Alert, Button, type ModalProps, Stack } from '@mantine/core';
import type { UseFormReturnType } from '@mantine/form';
import { useMutation, useQueryClient } from '@tanstack/react-query';
import { type ReactNode, useId, useRef } from 'react';
import { retryTemporary } from '../api/client';
import { type Change, isSame, textOf } from './changes';
import { ChangesBar } from './ChangesBar';
import { Dialog } from './Dialog';
import { showDone, showWarning } from './feedback';
import styles from './Form.module.css';
import { titled } from './format';
import { changed, errorsOf, sentenceOf, warningsOf } from './saving';
import { showUndo } from './undo';
import { WhyRefused } from '../why/WhyRefused';

/** The notice about changes that can be undone. */
interface Undoable<Values, Saved> {
  /** The notice after saving. */
  saved: string;
  /** Reads the present item, to reverse the last changes. */
  read: () => Promise<Saved>;
  /** The values of the fields for a saved item. */
  valuesOf: (item: Saved) => Values;
  /** The titles of fields that consist of several inputs. */
  titles?: { [Name in keyof Values]?: string };
  /** Fields with secrets, in addition to password fields. */
  secrets?: (keyof Values & string)[];
}

/** A form on a page: its changes are listed in a bar. */
interface OnPage<Values, Saved> extends Undoable<Values, Saved> {
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
  /** The label of the button: the verb of the action. */
  submit?: string;
  /** What to do before the form can be sent, as a sentence beside the button; empty = it can be sent. */
  missing?: string | undefined;
  /** The request may be sent twice. It is repeated if there is no answer. */
  repeatable?: boolean;
  /** The user may view the values, but not change them. */
  readOnly?: boolean;
  /** The form stands on a page, and not in a dialog. */
  page?: OnPage<Values, Saved> | undefined;
  /** The changes that were saved in a dialog can be undone. */
  undo?: Undoable<Values, Saved> | undefined;
  children: ReactNode;
}

/**
 * The form of the console: fields, the error of the server, and Cancel and the button of the action, or the bar with the changes.
 *
 * Warnings of the server are shown as notices, also on the next page. Errors of fields are shown at their fields, other
 * errors above the buttons. After an error, the form keeps its values.
 */
export function FormFrame<Values extends object, Saved>(props: FrameProps<Values, Saved>) {
  const { form, save, touched, onSaved, onCancel, submit = t`Save`, missing = '', children } = props;
  const { readOnly = false, repeatable = false, page, undo } = props;
  const queries = useQueryClient();
  const refresh = () => Promise.all(touched.map((key) => queries.invalidateQueries({ queryKey: [key] })));
  const element = useRef<HTMLFormElement>(null);
  const reasonId = useId();
  const nodeOf = (name: string | undefined) =>
    element.current?.querySelector<HTMLInputElement>(`[data-path="${CSS.escape(name ?? '')}"]`) ?? null;
  const run = useMutation({
    mutationFn: (values: Values) => save(values, form.getInitialValues()),
    retry: repeatable && retryTemporary,
    onSuccess: async (saved, sent) => {
      if (page) {
        announce({ form, undoable: page, save, refresh, nodeOf }, saved, sent);
        showStored(form, page.valuesOf(saved), sent);
      } else {
        if (undo) announce({ form, undoable: undo, save, refresh, nodeOf }, saved, sent);
        form.setInitialValues(sent);
      }
      const warnings = warningsOf(saved);
      if (warnings.length > 0) showWarning(t`Saved with warnings`, warnings.join(' '));
      await refresh();
      onSaved?.(saved);
    },
    onError: (error) => {
      const errors = errorsOf(form.getValues(), error);
      form.setErrors(errors);
      nodeOf(Object.keys(errors)[0])?.focus();
    },
  });
  return (
    <form
      ref={element}
      onSubmit={form.onSubmit(
        (values) => {
          const isUnchanged = page && Object.keys(changed(form.getInitialValues(), values)).length === 0;
          if (!isUnchanged) run.mutate(values);
        },
        (errors) => nodeOf(Object.keys(errors)[0])?.focus(),
      )}
    >
      <Stack>
        <fieldset disabled={readOnly} className="plain">
          <Stack>{children}</Stack>
        </fieldset>
        {run.isError && !page && (
          <Alert color="red" variant="light" role="alert" title={t`Not saved`} ref={showIt}>
            {sentenceOf(form.getValues(), run.error)} <WhyRefused error={run.error} />
          </Alert>
        )}
        {page ? (
          <ChangesBar
            changes={readOnly ? [] : changesOf(form, page, nodeOf)}
            problems={run.isError ? 0 : Object.keys(form.errors).length}
            missing={missing}
            isSaving={run.isPending}
            error={run.error}
            sentence={run.isError ? sentenceOf(form.getValues(), run.error) : undefined}
            onDiscard={() => {
              run.reset();
              form.reset();
            }}
          />
        ) : (
          <div className={styles.buttons}>
            {missing && !readOnly && (
              <div id={reasonId} className={styles.missing}>
                {missing}
              </div>
            )}
            {onCancel && (
              <Button variant="default" onClick={onCancel}>
                <Trans>Cancel</Trans>
              </Button>
            )}
            {!readOnly && (
              <Button
                type="submit"
                loading={run.isPending}
                disabled={missing !== ''}
                aria-describedby={missing ? reasonId : undefined}
              >
                {submit}
              </Button>
            )}
          </div>
        )}
      </Stack>
    </form>
  );
}

type Form<Values> = UseFormReturnType<Values>;

/** The input of a field of the form. */
type NodeOf = (name: string) => HTMLInputElement | null;

/** The label of a switch or checkbox, whose element for the label also contains its description. */
const OWN_LABEL = '.mantine-Switch-label, .mantine-Checkbox-label';

/** The label of a field. */
function labelOf(nodeOf: NodeOf, name: string): string {
  const input = nodeOf(name);
  const label = input?.labels?.[0];
  const text = (label?.querySelector(OWN_LABEL) ?? label)?.textContent ?? input?.ariaLabel;
  return (text ?? titled(name.replaceAll('_', ' '))).replace(/\s*\*$/, '');
}

/** Whether the text of a field must not be shown, even if its input shows it. */
function isSecret(nodeOf: NodeOf, name: string): boolean {
  return Boolean(nodeOf(name)?.closest('.mantine-PasswordInput-root'));
}

/** The changed fields, with the values before and after. */
function changesOf<Values extends object, Saved>(
  form: Form<Values>,
  { texts }: OnPage<Values, Saved>,
  nodeOf: NodeOf,
): Change[] {
  const before = form.getInitialValues();
  const after = form.getValues();
  return namesOf(changed(before, after)).map((name) => {
    const show = texts?.[name] ?? textOf;
    const [old, now] = isSecret(nodeOf, name) ? ['', t`a new value`] : [show(before[name]), show(after[name])];
    return { name, title: labelOf(nodeOf, name), before: old, after: now };
  });
}

/** Shows the values that the server stored. Fields that were changed after they were sent keep their values. */
function showStored<Values extends object>(form: Form<Values>, stored: Values, sent: Values): void {
  const now = form.getValues();
  form.setInitialValues(stored);
  form.setValues(
    picked(
      stored,
      namesOf(stored).filter((name) => isSame(now[name], sent[name])),
    ),
  );
}

interface Frame<Values, Saved> extends Pick<FrameProps<Values, Saved>, 'form' | 'save'> {
  undoable: Undoable<Values, Saved>;
  refresh: () => Promise<unknown>;
  nodeOf: NodeOf;
}

/** Announces that the form was saved. Secrets cannot be read, so a form with a new one cannot be undone. */
function announce<Values extends object, Saved>(frame: Frame<Values, Saved>, saved: Saved, sent: Values): void {
  const { form, undoable, save, refresh, nodeOf } = frame;
  const before = form.getInitialValues();
  const names = namesOf(changed(before, sent));
  const { secrets = [] } = undoable;
  const known: Partial<Record<string, string>> = undoable.titles ?? {};
  if (names.length === 0 || names.some((name) => secrets.includes(name) || isSecret(nodeOf, name))) {
    showDone(undoable.saved);
    return;
  }
  const titles = Object.fromEntries(names.map((name) => [name, known[name] ?? labelOf(nodeOf, name)]));
  showUndo(undoable.saved, {
    saved: picked(undoable.valuesOf(saved), names),
    read: async () => picked(undoable.valuesOf(await undoable.read()), names),
    restore: async () => {
      const present = form.getInitialValues();
      const stored = undoable.valuesOf(await save({ ...present, ...picked(before, names) }, present));
      showStored(form, stored, { ...present, ...picked(form.getValues(), names) });
      await refresh();
    },
    titleOf: (name) => titles[name] ?? name,
  });
}

function namesOf<Values extends object>(values: Values): (keyof Values & string)[] {
  return Object.keys(values) as (keyof Values & string)[];
}

function picked<Values extends object>(values: Values, names: (keyof Values)[]): Partial<Values> {
  return Object.fromEntries(names.map((name) => [name, values[name]])) as Partial<Values>;
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
