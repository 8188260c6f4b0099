"""`greenroom config export|plan|apply|schema`."""

from __future__ import annotations

import json
import os
import stat
from pathlib import Path
from typing import Annotated, Any, Final

import typer
from msgspec import UNSET

from greenroom.cli.configuration.deployment import PlanApplication, exported, read_snapshot
from greenroom.cli.configuration.document import SecretReference, parsed, resolved, schema, written
from greenroom.cli.configuration.planning import ConfigurationAction, DeployedObjects, Plan, PlanOptions, plan
from greenroom.cli.output import Row, printable, styled
from greenroom.cli.values import text_of
from greenroom.cli.verbs import Call, plain_verb, verb
from greenroom.core.errors import Invalid

File = Annotated[str, typer.Argument(metavar="FILE", help="The document, YAML or JSON; - = stdin.")]
Output = Annotated[Path | None, typer.Option(help="File to write, mode 0600, instead of stdout.")]
Prune = Annotated[
    bool, typer.Option("--prune", help="Delete objects that are missing in the sections of the document.")
]
Force = Annotated[bool, typer.Option("--force", help="Also delete objects that have live sessions, and end these.")]
SendSecrets = Annotated[
    bool, typer.Option("--send-secrets", help="Also send secrets that the server never returns, such as new tokens.")
]
Check = Annotated[bool, typer.Option("--check", help="Exit with 1 if the deployment differs from the document.")]

_SIGNS: Final = {"create": ("+", "green"), "update": ("~", "yellow"), "delete": ("-", "red")}


@verb("config", of_one=False)
def export(call: Call, *, output: Output = None) -> None:
    """Write the configuration as a document in YAML. Secrets are references to environment variables."""
    document = exported(read_snapshot(call.client, with_sessions=False))
    text = json.dumps({"version": 1, **document}) + "\n" if call.output.as_json else written(document)
    if output is None:
        typer.echo(text, nl=False)
        return
    with open(output, "w", encoding="utf-8", opener=lambda path, flags: os.open(path, flags, 0o600)) as file:
        if stat.S_ISREG(os.fstat(file.fileno()).st_mode):  # an existing file has its own mode
            os.fchmod(file.fileno(), 0o600)
        file.write(text)


@verb("config", "plan", of_one=False)
def plan_document(
    call: Call,
    *,
    file: File,
    prune: Prune = False,
    force: Force = False,
    send_secrets: SendSecrets = False,
    check: Check = False,
) -> None:
    """Show the changes that make the deployment equal to the document. Nothing is changed."""
    found, _ = _planned(call, file, PlanOptions(prune, force, send_secrets))
    if not call.output.print_if_json(_row(found)):
        _show(call, found)
    if found.problems or (check and found.actions):
        raise typer.Exit(1)


@verb("config", of_one=False)
def apply(
    call: Call, *, file: File, prune: Prune = False, force: Force = False, send_secrets: SendSecrets = False
) -> None:
    """Show the changes that make the deployment equal to the document, and make them. A second call changes nothing."""
    found, snapshot = _planned(call, file, PlanOptions(prune, force, send_secrets))
    if not call.output.as_json:
        _show(call, found)
    progress = call.output.err.print
    PlanApplication(call.client, snapshot, lambda text: progress(styled(printable(text), ""))).apply(found)
    if found.actions:
        call.output.done(f"The document is applied: {_counts(found)}.", _row(found) | {"applied": True})
    else:
        call.output.print_if_json(_row(found) | {"applied": True})


def print_schema(*, as_json: Annotated[bool, typer.Option("--json", help="Print JSON on one line.")] = False) -> None:
    """Print the JSON schema of documents, for editors and checks."""
    typer.echo(json.dumps(schema(), indent=None if as_json else 2, ensure_ascii=False))


plain_verb("config", "schema", print_schema)


def _planned(call: Call, file: str, options: PlanOptions) -> tuple[Plan, DeployedObjects]:
    document = resolved(parsed(text_of(file)), _look_up)
    snapshot = read_snapshot(call.client, with_sessions=options.prune)
    return plan(document, snapshot, options), snapshot


def _look_up(reference: SecretReference) -> str | None:
    """Return the secret of a reference. Raises Invalid: its file cannot be read, for another reason than that there is
    none."""
    if reference.env is not UNSET:
        return os.environ.get(str(reference.env))
    try:
        return Path(str(reference.file)).read_text(encoding="utf-8").removesuffix("\n")
    except FileNotFoundError:
        return None
    except (OSError, UnicodeDecodeError) as error:
        raise Invalid(f"The secret in {reference.file} cannot be read: {error}.") from error


def _row(found: Plan) -> Row:
    return {"actions": [_action(action) for action in found.actions], "problems": list(found.problems)}


def _action(action: ConfigurationAction) -> Row:
    return {
        "action": action.verb,
        "section": action.kind.section,
        "name": action.name,
        "reason": action.reason,
        "changes": {path: {"old": old, "new": new} for path, (old, new) in action.changes.items()},
        "ended_sessions": list(action.sessions),
    }


def _show(call: Call, found: Plan) -> None:
    for action in found.actions:
        sign, color = _SIGNS[action.verb]
        call.output.line(f"{sign} {action.title}: {action.reason}", color)
        for path, (old, new) in action.changes.items():
            call.output.line(f"    {path}: {_text(new) if action.verb == 'create' else f'{_text(old)} → {_text(new)}'}")
        if action.sessions:
            call.output.line(f"    live sessions that end: {len(action.sessions)}")
    call.output.line(f"Plan: {_counts(found)}." if found.actions else "The deployment is equal to the document.")
    for problem in found.problems:
        call.output.warn(problem)


def _text(value: Any) -> str:
    return "-" if value is None else json.dumps(value, ensure_ascii=False)


def _counts(found: Plan) -> str:
    names = {"create": "to create", "update": "to change", "delete": "to delete"}
    counts = {word: sum(action.verb == one for action in found.actions) for one, word in names.items()}
    return ", ".join(f"{count} {word}" for word, count in counts.items())
