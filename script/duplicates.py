"""Count duplicate declarations in greenroom: `python script/duplicates.py [--list]`. It fails above `LIMITS`.

Counted are the public classes whose name also exists in another module, and twin records: pairs of dataclasses, structs
and models of different packages that declare mostly the same fields. A view of the HTTP API that takes its fields from
a row (`View`, `row=`) declares no field twice. Records of `SEPARATE` are counted separately.

Four class names exist in two modules: the client uses the names of the OpenAPI document. These twins remain:
- Bodies of requests declare the limits of each field, and which may be omitted; a row has neither.
- Views of records that also contain secrets or hashes list their fields, so that a new field is not visible by default.
- The plan of nginx is a file with a separate format, and `gateway_managers` is a setting of administrators.
"""

from __future__ import annotations

import ast
import itertools
import sys
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).parents[1]
FOLDERS: Final = (ROOT / "src/greenroom", *ROOT.glob("packages/*/src/greenroom"))
"""The folders of the package."""
ROOTFS: Final = "/recipes/base/rootfs/"
"""The programs of a session, which are not part of the package."""
GENERATED: Final = "# Written by script/"
"""The beginning of files that declare nothing themselves."""
LIMITS: Final = {"class names in several modules": 0, "twin records": 15, "separate twin records": 8}
"""No number may grow; lower these limits when the numbers fall."""
SEPARATE: Final = {
    "client": "It is a separate distribution, which also works with deployments of other versions.",
    "wire": "Messages keep their fields for peers of other versions; rows change with the database.",
    "agent.session.journal": "An Agent reads what another version of it wrote.",
}
"""Package or module → the reason why its records have separate fields."""
MIN_FIELDS: Final = 5
MIN_SHARED_FRACTION: Final = 0.7
"""The minimum share of the fields of the larger record."""


@dataclass(frozen=True, slots=True)
class DeclaredClass:
    """A public class; `fields` are the annotated names in its body."""

    name: str
    module: str
    fields: frozenset[str]

    @property
    def package(self) -> str:
        return self.module.partition(".")[0]

    def __str__(self) -> str:
        return f"{self.module}.{self.name}"


def declared_classes(source: str, module: str) -> Iterator[DeclaredClass]:
    """The public classes of a module's top level."""
    for node in ast.parse(source).body:
        if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
            annotated = (item for item in node.body if isinstance(item, ast.AnnAssign))
            names = {item.target.id for item in annotated if isinstance(item.target, ast.Name)}
            public = frozenset(name for name in names if not name.startswith("_"))
            is_derived = any(keyword.arg == "row" for keyword in node.keywords)
            yield DeclaredClass(node.name, module, frozenset() if is_derived else public)


def repeated_names(classes: Iterable[DeclaredClass]) -> list[str]:
    """The names of classes that several modules declare, with the modules."""
    by_name: dict[str, list[str]] = defaultdict(list)
    for declared_class in classes:
        by_name[declared_class.name].append(declared_class.module)
    return [f"{name}: {', '.join(sorted(modules))}" for name, modules in sorted(by_name.items()) if len(modules) > 1]


def twin_records(classes: Iterable[DeclaredClass], *, separate: bool = False) -> list[str]:
    """Pairs of records of different packages with mostly the same fields; `separate`: those with a record of
    `SEPARATE`."""
    records = [record for record in classes if len(record.fields) >= MIN_FIELDS]
    return [
        f"{first} and {second}: "
        f"{len(first.fields & second.fields)} of {max(len(first.fields), len(second.fields))} fields"
        for first, second in itertools.combinations(records, 2)
        if first.package != second.package
        and separate == any(record.module.startswith(tuple(SEPARATE)) for record in (first, second))
        and len(first.fields & second.fields) >= MIN_SHARED_FRACTION * max(len(first.fields), len(second.fields))
    ]


def main() -> None:
    """Print the numbers, with `--list` also the items; exit code 1 if a number has grown."""
    paths = sorted((path, root) for root in FOLDERS for path in root.rglob("*.py") if ROOTFS not in str(path))
    modules = ((path.read_text(), ".".join(path.relative_to(root).with_suffix("").parts)) for path, root in paths)
    classes = [
        declared_class
        for source, module in modules
        if not source.startswith(GENERATED)
        for declared_class in declared_classes(source, module)
    ]
    has_grown = False
    lists = (repeated_names(classes), twin_records(classes), twin_records(classes, separate=True))
    for (description, limit), items in zip(LIMITS.items(), lists, strict=True):
        print(f"{len(items)} {description}, at most {limit}", *items if "--list" in sys.argv else (), sep="\n  ")
        has_grown |= len(items) > limit
    sys.exit(1 if has_grown else 0)


if __name__ == "__main__":
    main()
