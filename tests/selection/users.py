"""The users of a name: functions and test files that contain the word and import the module that defines it."""

from __future__ import annotations

import ast
import re
from collections import defaultdict
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from tests.selection.changes import Function, defined_names, functions_of, is_test

STEPS = 3
"""The number of names that are followed in a row if one is defined by means of another."""
_WORD = re.compile(r"\w+")


@dataclass(frozen=True)
class Module:
    """The words of each function, the words of the statements that define each other name, and the imported names."""

    functions: dict[str, frozenset[str]]
    names: dict[str, frozenset[str]]
    imports: frozenset[str]


class Sources:
    """The Python files of the product and its tests in a checkout."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self._modules = dict[str, Module]()

    @cached_property
    def texts(self) -> dict[str, str]:
        """The text of each file; the key is its path in the checkout."""
        folders = ("src/greenroom", "packages", "tests")
        files = [file for folder in folders for file in (self.root / folder).rglob("*.py")]
        return {
            str(file.relative_to(self.root)): file.read_text()
            for file in files
            if not {".venv", "node_modules"} & set(file.parts)
        }

    @cached_property
    def tests(self) -> frozenset[str]:
        """The paths of the test files."""
        return frozenset(filter(is_test, self.texts))

    @cached_property
    def _files_of_word(self) -> dict[str, set[str]]:
        found = defaultdict[str, set[str]](set)
        for path, text in self.texts.items():
            for word in set(_WORD.findall(text)):
                found[word].add(path)
        return found

    def mentioning(self, text: str) -> list[str]:
        """The paths of files that contain this text, for example the name of a file."""
        words = _WORD.findall(text)
        files = set[str].intersection(*(self._files_of_word.get(word, set[str]()) for word in words)) if words else ()
        return [path for path in files if text in self.texts[path]]

    def users(self, path: str, name: str) -> tuple[set[tuple[str, str]], set[str]]:
        """The functions outside of tests, as (path, qualified name), and test files, that use a name of the file
        `path`.

        Names at the top of a module that are defined by means of the name are followed in turn.
        """
        functions, tests = set[tuple[str, str]](), set[str]()
        known, names = {(path, name)}, [(path, name)]
        for _ in range(STEPS):
            following = list[tuple[str, str]]()
            for at, wanted in names:
                for file in self._who_may_use(at, wanted):
                    if file in self.tests:
                        tests.add(file)
                        continue
                    module = self.module(file)
                    functions |= {(file, function) for function, words in module.functions.items() if wanted in words}
                    following += [(file, other) for other, words in module.names.items() if wanted in words]
            names = [found for found in following if found not in known]
            known.update(names)
        return functions, tests

    def _who_may_use(self, path: str, name: str) -> list[str]:
        """The file itself, and files that contain the word and import the module or the name."""
        module = Path(path).stem if Path(path).stem != "__init__" else Path(path).parent.name
        files = self._files_of_word.get(name, set[str]())
        return [file for file in files if file == path or {module, name} & self.module(file).imports]

    def importers(self, path: str) -> set[str]:
        """The test files that import the file `path`; if there are none, those that import a module that does, in up to
        `STEPS` steps."""
        known, modules, tests = {path}, {path}, set[str]()
        for _ in range(STEPS):
            modules = {file for module in modules for file in self._importing(module)} - known
            known |= modules
            tests = modules & self.tests
            if tests:
                break
        return tests

    def _importing(self, path: str) -> list[str]:
        module, package = Path(path).stem, Path(path).parent.name
        imported = re.compile(rf"\b{package}(?:\.{module}\b| import\b)")
        files = self._files_of_word.get(module, set[str]())
        return [file for file in files if module in self.module(file).imports and imported.search(self.texts[file])]

    def module(self, path: str) -> Module:
        """The parsed content of a file."""
        if path not in self._modules:
            self._modules[path] = _module(self.texts[path])
        return self._modules[path]


def _module(text: str) -> Module:
    tree, lines = ast.parse(text), text.splitlines()

    def words(*nodes: ast.stmt | ast.expr | ast.keyword) -> frozenset[str]:
        segments = ("\n".join(lines[node.lineno - 1 : node.end_lineno]) for node in nodes)
        return frozenset(word for segment in segments for word in _WORD.findall(segment))

    names = dict[str, frozenset[str]]()
    imports = set[str]()
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom):
            imports |= {(node.module or "").rpartition(".")[2], *(alias.name for alias in node.names)}
        elif isinstance(node, ast.Import):
            imports |= {alias.name.rpartition(".")[2] for alias in node.names}
    for node in tree.body:
        if not isinstance(node, Function | ast.Import | ast.ImportFrom):
            parts = [node]
            if isinstance(node, ast.ClassDef):  # its methods are functions
                fields = [inner for inner in node.body if not isinstance(inner, Function | ast.ClassDef)]
                parts = [*node.bases, *node.keywords, *node.decorator_list, *fields]
            for name in defined_names(node):
                names[name] = names.get(name, frozenset()) | words(*parts) - {name}
    return Module({name: words(node) for name, node in functions_of(tree)}, names, frozenset(imports))
