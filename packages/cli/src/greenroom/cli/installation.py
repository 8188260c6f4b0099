"""The options of `greenroom upgrade`, `backup` and `restore` that select the installation, and its database."""

from __future__ import annotations

import copy
import inspect
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final, get_type_hints

import typer

from greenroom.cli.instance import Data, external_database
from greenroom.cli.kubernetes import Context, Keys, Kubernetes, open_deployment
from greenroom.core.errors import SetupError
from greenroom.up.options import KEYS_FOLDER

if TYPE_CHECKING:
    from greenroom.backup.kubernetes import KubernetesDeployment

PANEL: Final = "Installation (an instance, or one of --compose, --services and --kubernetes)"
"""The title of the options in the help."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SelectedInstallation:
    """The installation that a command works on: an instance, or that of at most one other form."""

    data: Data
    compose: Annotated[
        Path | None,
        typer.Option(
            exists=True,
            file_okay=False,
            resolve_path=True,
            help="Use the deployment with Docker Compose on this host; the folder contains its compose files.",
        ),
    ] = None
    services: Annotated[bool, typer.Option("--services", help="Use the services of systemd on this machine.")] = False
    services_folder: Annotated[
        Path | None,
        typer.Option(
            "--folder",
            file_okay=False,
            resolve_path=True,
            help="With --services: the folder with the keys and settings.",
            show_default=str(KEYS_FOLDER),
        ),
    ] = None
    database_url: Annotated[
        str | None,
        typer.Option(
            help="Database URL of the owner of the tables, for --services and for the restore of an instance; also"
            " GREENROOM_DATABASE_URL.",
            show_default="the database of the installation",
        ),
    ] = None
    kubernetes: Kubernetes = None
    keys: Keys = None
    context: Context = None

    def check(self, *, has_own_database: bool = False) -> None:
        """Check that the options belong to one form. `has_own_database`: an instance also accepts --database-url.

        Raises:
            typer.BadParameter: the options name several forms, or an option belongs to another form.
        """
        if (self.compose is not None) + (self.kubernetes is not None) + self.services > 1:
            raise typer.BadParameter("Specify one of --compose, --kubernetes and --services.")
        is_instance = not (self.compose or self.kubernetes or self.services)
        accepts_url = self.services or (has_own_database and is_instance)
        for option, value, required, accepted in (
            ("--folder", self.services_folder, "--services", self.services),
            ("--database-url", self.database_url, "--services", accepts_url),
            ("--keys", self.keys, "--kubernetes", self.kubernetes),
            ("--context", self.context, "--kubernetes", self.kubernetes),
        ):
            if value is not None and not accepted:
                raise typer.BadParameter(f"{option} requires {required}.")

    @property
    def keys_folder(self) -> Path:
        """The folder with the keys and settings of the services."""
        return self.services_folder or KEYS_FOLDER

    @property
    def url(self) -> str | None:
        """The URL of the database, if the caller specified it. The program may start again (`external_database`)."""
        return external_database(self.database_url)

    def services_url(self) -> str:
        """Return the URL of the database of the services: `url`, else that of the api or the Manager of this machine.

        Raises:
            SetupError: there is none.
        """
        from greenroom.upgrade.services_facts import database_of  # noqa: PLC0415
        from greenroom.upgrade.units import read_services  # noqa: PLC0415

        if url := self.url:
            return url
        if found := database_of({service.role: service for service in read_services()}, None):
            return found
        raise SetupError("No api or Manager runs on this machine; specify --database-url.")

    def kubernetes_deployment(self, folder: Path) -> KubernetesDeployment:
        """Return the deployment of the kustomization in `folder`. Raises SetupError: as for `open_deployment`."""
        return open_deployment(folder, self.keys, self.context)


def with_installation(command: Callable[..., None]) -> Callable[..., None]:
    """Return a command in which the options of `SelectedInstallation` replace the parameter `installation`."""
    hints = get_type_hints(SelectedInstallation, include_extras=True)
    options = [
        parameter.replace(kind=inspect.Parameter.KEYWORD_ONLY, annotation=_with_panel(hints[name]))
        for name, parameter in inspect.signature(SelectedInstallation).parameters.items()
    ]
    own = [one for one in inspect.signature(command, eval_str=True).parameters.values() if one.name != "installation"]

    def run(**arguments: Any) -> None:
        installation = SelectedInstallation(**{option.name: arguments.pop(option.name) for option in options})
        command(installation=installation, **arguments)

    run.__doc__ = command.__doc__
    run.__annotations__ = {}
    run.__signature__ = inspect.Signature([*own, *options])  # pyright: ignore[reportFunctionMemberAccess]
    return run


def _with_panel(hint: Any) -> Any:
    """Return the type of an option, which the help then lists below the title `PANEL`."""
    option = copy.copy(hint.__metadata__[0])
    option.rich_help_panel = PANEL
    return Annotated[hint.__origin__, option]
