"""`greenroom config export|plan|apply|schema`."""

from __future__ import annotations

import json
import os
import stat
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Final

import typer
from msgspec import UNSET

from greenroom.cli.configuration.deployment import PlanApplication, export_document, read_snapshot
from greenroom.cli.configuration.document import SecretReference, parse_document, resolve_secrets, schema, to_yaml
from greenroom.cli.configuration.planning import ConfigurationAction, DeployedObjects, Plan, PlanOptions, Verb, plan
from greenroom.cli.output import Row, printable, styled
from greenroom.cli.values import read_text
from greenroom.cli.verbs import Call, local_verb, verb
from greenroom.core.errors import Invalid

File = Annotated[str, typer.Argument(metavar="FILE", help="The document, YAML or JSON; - = stdin.")]
Output = Annotated[Path | None, typer.Option(help="File to write, mode 0600, instead of stdout.")]
Prune = Annotated[
    bool, typer.Option("--prune", help="Delete objects that are not in the document, in the sections that it has.")
]
Force = Annotated[bool, typer.Option("--force", help="Also delete objects that have live sessions, and end these.")]
SendSecrets = Annotated[
    bool, typer.Option("--send-secrets", help="Also send secrets that the server never returns, such as new tokens.")
]
Check = Annotated[bool, typer.Option("--check", help="Exit with 1 if the deployment differs from the document.")]

_SIGNS: Final = {"create": ("+", "green"), "update": ("~", "yellow"), "delete": ("-", "red")}


@verb("config", takes_object=False)
def export(call: Call, *, output: Output = None) -> None:
    """Write the configuration as a document in YAML. Secrets are references to environment variables."""
    document = export_document(read_snapshot(call.client, with_sessions=False))
    text = json.dumps({"version": 1, **document}) + "\n" if call.output.as_json else to_yaml(document)
    if output is None:
        typer.echo(text, nl=False)
        return
    with open(output, "w", encoding="utf-8", opener=lambda path, flags: os.open(path, flags, 0o600)) as file:
        if stat.S_ISREG(os.fstat(file.fileno()).st_mode):  # an existing file has its own mode
            os.fchmod(file.fileno(), 0o600)
        file.write(text)
    text = f"The configuration is in {output}. Compare it with: greenroom config plan {output}"
    call.output.err.print(text, soft_wrap=True)


@verb("config", "plan", takes_object=False)
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
    planned, _ = _read_plan(call, file, PlanOptions(prune, force, send_secrets))
    if not call.output.print_if_json(_plan_json(planned)):
        _show(call, planned)
    if planned.problems or (check and planned.actions):
        raise typer.Exit(1)


@verb("config", takes_object=False)
def apply(
    call: Call, *, file: File, prune: Prune = False, force: Force = False, send_secrets: SendSecrets = False
) -> None:
    """Show the changes that make the deployment equal to the document, and make them. A second call changes nothing."""
    planned, snapshot = _read_plan(call, file, PlanOptions(prune, force, send_secrets))
    if not call.output.as_json:
        _show(call, planned)
    progress = call.output.err.print
    PlanApplication(call.client, snapshot, lambda text: progress(styled(printable(text), ""))).apply(planned)
    result = _plan_json(planned) | {"applied": True}
    if planned.actions:
        call.output.print_result(f"The document is applied: {_counts(planned)}.", result)
    else:
        call.output.print_if_json(result)


def print_schema(*, as_json: Annotated[bool, typer.Option("--json", help="Print JSON on one line.")] = False) -> None:
    """Print the JSON schema of documents, for editors and checks."""
    typer.echo(json.dumps(schema(), indent=None if as_json else 2, ensure_ascii=False))


local_verb("config", "schema", print_schema)


def _read_plan(call: Call, file: str, options: PlanOptions) -> tuple[Plan, DeployedObjects]:
    document = resolve_secrets(parse_document(read_text(file)), _read_secret)
    snapshot = read_snapshot(call.client, with_sessions=options.prune)
    return plan(document, snapshot, options), snapshot


def _read_secret(reference: SecretReference) -> str | None:
    """Return the secret of a reference; None if the variable or the file does not exist. Raises Invalid: the file
    cannot be read."""
    if reference.env is not UNSET:
        return os.environ.get(str(reference.env))
    try:
        return Path(str(reference.file)).read_text(encoding="utf-8").removesuffix("\n")
    except FileNotFoundError:
        return None
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8 text"
        raise Invalid(f"The secret in {reference.file} cannot be read: {reason}.") from error


def _plan_json(planned: Plan) -> Row:
    return {"actions": [_action_json(action) for action in planned.actions], "problems": list(planned.problems)}


def _action_json(action: ConfigurationAction) -> Row:
    return {
        "action": action.verb,
        "section": action.kind.section,
        "name": action.name,
        "reason": action.reason,
        "changes": {path: {"old": old, "new": new} for path, (old, new) in action.changes.items()},
        "ended_sessions": list(action.sessions),
    }


def _show(call: Call, planned: Plan) -> None:
    for action in planned.actions:
        sign, color = _SIGNS[action.verb]
        call.output.print_line(f"{sign} {action.title}: {action.reason}", color)
        for path, (old, new) in action.changes.items():
            change = _value_text(new) if action.verb == "create" else f"{_value_text(old)} → {_value_text(new)}"
            call.output.print_line(f"    {path}: {change}")
        if action.sessions:
            call.output.print_line(f"    live sessions that end: {len(action.sessions)}")
    summary = f"Plan: {_counts(planned)}." if planned.actions else "The deployment is equal to the document."
    call.output.print_line(summary)
    for problem in planned.problems:
        call.output.print_warning(problem)


def _value_text(value: Any) -> str:
    return "-" if value is None else json.dumps(value, ensure_ascii=False)


def _counts(planned: Plan) -> str:
    names: Mapping[Verb, str] = {"create": "to create", "update": "to change", "delete": "to delete"}
    counts = Counter(action.verb for action in planned.actions)
    return ", ".join(f"{counts[verb]} {name}" for verb, name in names.items())
