"""The texts of the server that people read, found in its source code as templates.

A template is a text with a placeholder for each value: `{0}`, or `{name0}` for a name, a path or an address, which the
console never translates. `Zone {zone.zone_name} is full.` becomes `Zone {name0} is full.`
"""

from __future__ import annotations

import ast
import itertools
import re
from collections.abc import Container, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Final

MAX_VARIANTS: Final = 12
"""The maximum number of texts that one expression can have. With more, a part becomes a placeholder."""
MIN_LETTERS: Final = 5
"""A template with fewer letters of its own would match texts that it did not make."""
VALUE: Final = "\0"
NAME: Final = "\1"
"""The places of values and names in a text, before they have numbers."""
IS_NAME: Final = re.compile(r"(?:name|id|ids|host|url|path|address|file|filename|key|user)$")
SILENT_CALLS: Final = frozenset({"debug", "info", "warning", "error", "exception", "critical", "log"})
"""Methods of loggers, whose texts are for the log."""
LOG_CALLS: Final = frozenset({"write", "_write", "log", "log_line", "log_share"})
"""Functions that write a log row with the code and the message that they get."""
OTHER_CALLS: Final = frozenset(
    {
        "Field",
        "compile",
        "fullmatch",
        "match",
        "search",
        "sub",
        "Literal",
        "Path",
        "Query",
        "TypeVar",
        "text",
        "execute",
    }
    | {"RuntimeError", "AssertionError", "TypeError", "KeyError", "strftime", "strptime", "getattr", "cast"}
)
"""Calls whose texts are for developers or the database."""

NOT_FOR_PEOPLE: Final = re.compile(
    r"[{}<>|\\]|\w=\S|^--|SELECT |GREENROOM_[A-Z]|KP_[A-Z]|^[\w /.*-]*/[\w.*-]*$"
    r"|\(\.\+\)|^Value error$|^(?:[a-z]+ ){19}"
)
"""Paths, code, and texts for those who operate the processes."""

Variables = Mapping[str, Sequence[str]]


def templates_of(path: Path, *, only_errors: bool = False) -> Iterator[str]:
    """Yield the templates of a module: of each text with several words; with `only_errors`, those of raised errors."""
    tree = ast.parse(path.read_text())
    module = _variables(tree.body, {})
    for scope, variables in _scopes(tree, module):
        for part in _own_parts(scope, only_errors=only_errors):
            for text in _texts(part, variables) or ():
                yield from numbered(text)


def _scopes(tree: ast.Module, module: Variables) -> Iterator[tuple[ast.AST, Variables]]:
    """Yield each function, and the module, with the texts of its variables."""
    yield tree, module
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield node, _variables(node.body, module)


def _variables(body: Sequence[ast.stmt], outer: Variables) -> Variables:
    """Return the possible texts of the variables that these statements assign."""
    found: dict[str, list[str] | None] = {}
    for node in itertools.chain.from_iterable(map(_statements, body)):
        value = getattr(node, "value", None)
        targets = node.targets if isinstance(node, ast.Assign) else [getattr(node, "target", None)]
        for target in targets:
            if isinstance(target, ast.Name) and value is not None:
                texts = None if isinstance(node, ast.AugAssign) else _texts(value, {**outer, **_known(found)})
                known = found.get(target.id, [])
                found[target.id] = None if texts is None or known is None else [*known, *texts]
    return {**outer, **_known(found)}


def _known(found: Mapping[str, list[str] | None]) -> dict[str, list[str]]:
    return {name: texts for name, texts in found.items() if texts is not None and len(texts) <= MAX_VARIANTS}


def _statements(node: ast.AST) -> Iterator[ast.AST]:
    """Yield the assignments of a statement and those inside of it, but not those of an inner function or class."""
    if isinstance(node, ast.Assign | ast.AnnAssign | ast.AugAssign | ast.NamedExpr):
        yield node
    for child in ast.iter_child_nodes(node):
        if not isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef | ast.Lambda):
            yield from _statements(child)


def _own_parts(scope: ast.AST, *, only_errors: bool) -> Iterator[ast.expr]:
    """Yield the expressions with texts of a function or module, without those of inner functions."""
    for child in ast.iter_child_nodes(scope):
        if isinstance(child, ast.Subscript) and isinstance(child.value, ast.Dict):
            yield from _own_parts(ast.Expression(child.value), only_errors=only_errors)
        elif isinstance(child, ast.AnnAssign):
            yield from _own_parts(ast.Expression(child.value), only_errors=only_errors) if child.value else ()
        elif isinstance(child, ast.Raise):
            yield from _own_parts(child, only_errors=False)
        elif isinstance(child, ast.expr) and not only_errors and _is_text(child):
            yield child
            yield from _inner_texts(child)
        elif not _has_no_texts(child, scope):
            yield from _own_parts(child, only_errors=only_errors)


def _has_no_texts(node: ast.AST, scope: ast.AST) -> bool:
    """True if the texts of a node are not for people, or are found elsewhere: it is a docstring, an inner function, a
    call of a logger, a comparison, or an assignment of a text that an f-string of the function contains."""
    match node:
        case ast.Expr(value=ast.Constant()) | ast.FunctionDef() | ast.AsyncFunctionDef() | ast.Assert():
            return True
        case ast.Call():
            return _called(node) in SILENT_CALLS | OTHER_CALLS
        case ast.Assign():
            return bool(_assigned(node) & _joined_names(scope))
        case _:
            return isinstance(node, ast.Compare | ast.Subscript | ast.arguments)


def _assigned(node: ast.Assign) -> set[str]:
    """Return the variable that gets a text which the source code determines."""
    names = {target.id for target in node.targets if isinstance(target, ast.Name)}
    return names if _texts(node.value, {}) is not None else set()


def _joined_names(scope: ast.AST) -> set[str]:
    """Return the variables in the f-strings of a function."""
    return {
        part.value.id
        for part in ast.walk(scope)
        if isinstance(part, ast.FormattedValue) and isinstance(part.value, ast.Name)
    }


def _inner_texts(node: ast.expr) -> Iterator[ast.expr]:
    """Yield the texts in the values of a text, such as those of a call in an f-string."""
    for child in ast.walk(node):
        if isinstance(child, ast.FormattedValue) and not isinstance(child.value, ast.IfExp):
            yield from _own_parts(ast.Expression(child.value), only_errors=False)


def _called(call: ast.Call) -> str:
    return call.func.attr if isinstance(call.func, ast.Attribute) else getattr(call.func, "id", "")


def _is_text(node: ast.expr) -> bool:
    if isinstance(node, ast.BinOp):
        return isinstance(node.op, ast.Add) and (_is_text(node.left) or _is_text(node.right))
    return isinstance(node, ast.JoinedStr) or (isinstance(node, ast.Constant) and isinstance(node.value, str))


def _texts(node: ast.expr, variables: Variables) -> list[str] | None:
    """Return the possible texts of an expression; None if it is not a text that the source code determines."""
    match node:
        case ast.Constant(value=str(text)):
            return [re.sub(r"\{\w*\}", VALUE, text)]
        case ast.Name(id=name) if name in variables:
            return [*variables[name]]
        case ast.IfExp():
            return _either(_texts(node.body, variables), _texts(node.orelse, variables))
        case ast.JoinedStr():
            return _joined([_part(value, variables) for value in node.values])
        case ast.BinOp(op=ast.Add()) if _is_text(node):
            sides = [_texts(side, variables) or [_place(side)] for side in (node.left, node.right)]
            return _joined(sides)
        case _:
            return None


def _either(first: list[str] | None, second: list[str] | None) -> list[str] | None:
    return None if first is None or second is None else [*first, *second]


def _part(node: ast.expr, variables: Variables) -> list[str]:
    if not isinstance(node, ast.FormattedValue):
        return _texts(node, variables) or [""]
    return _texts(node.value, variables) or [_place(node.value)]


def _place(node: ast.expr) -> str:
    """Return the placeholder of a value: a name, or another value."""
    last = node.args[0] if isinstance(node, ast.Call) and len(node.args) == 1 else node
    name = last.attr if isinstance(last, ast.Attribute) else getattr(last, "id", "")
    return NAME if IS_NAME.search(name) else VALUE


def _joined(parts: Sequence[list[str]]) -> list[str]:
    total = 1
    for part in parts:
        total *= len(part)
    if total > MAX_VARIANTS:
        parts = [part if len(part) == 1 else [VALUE] for part in parts]
    return ["".join(combination) for combination in itertools.product(*parts)]


def numbered(text: str) -> Iterable[str]:
    """Yield the template for a text that a person reads."""
    line = re.sub(r"[\0\1]{2,}", VALUE, " ".join(text.split()))
    line = re.sub(r"^[\s.:,;]+|[\s:,;]+$", "", line)
    own = re.sub(r"[\0\1]", "", line)
    has_words = re.search(r"[A-Za-z][a-z].*\s.*[a-z]{2}|[a-z]{2}\s[\0\1]|[\0\1]\s[a-z]{2}", line)
    if not has_words or len(re.findall(r"[A-Za-z]", own)) < MIN_LETTERS or NOT_FOR_PEOPLE.search(own):
        return
    numbers = itertools.count()
    yield re.sub(r"[\0\1]", lambda place: f"{{{'name' if place[0] == NAME else ''}{next(numbers)}}}", line)


def templates_below(path: Path, *, only_errors: bool = False, except_for: Sequence[str] = ()) -> set[str]:
    """Return the templates of a module, or of all modules below a folder."""
    modules = sorted(path.rglob("*.py")) if path.is_dir() else [path]
    return {
        text
        for module in modules
        if not str(module).endswith(tuple(except_for))
        for text in templates_of(module, only_errors=only_errors)
    }


def log_templates_below(path: Path) -> set[str]:
    """Return the templates of the messages of log rows that the modules below a folder write."""
    return {
        template
        for call, _, variables in _calls_below(path, LOG_CALLS)
        if call.args and re.search(r"\bLogCode\b|\bcode$|CODE", ast.unparse(call.args[0]))
        for argument in call.args[1:]
        for text in _texts(argument, variables) or ()
        for template in numbered(text)
    }


def changes_below(path: Path) -> Iterator[tuple[str, str]]:
    """Yield the name of the `LogCode` of each call of `audit` below a folder, and the name of the changed object in
    its sentence, with the characters of `VALUE` and `NAME` as the places of values."""
    for call, scope, variables in _calls_below(path, {"audit"}):
        code, name = call.args[0], call.args[1]
        for attribute in ast.walk(scope if isinstance(code, ast.Name) else code):
            if isinstance(attribute, ast.Attribute) and getattr(attribute.value, "id", "") == "LogCode":
                yield from ((attribute.attr, text) for text in _texts(name, variables) or [NAME])


def _calls_below(path: Path, names: Container[str]) -> Iterator[tuple[ast.Call, ast.AST, Variables]]:
    """Yield the calls of functions with these names, each with the function or module around it and its variables."""
    for module in sorted(path.rglob("*.py")):
        tree = ast.parse(module.read_text())
        for scope, variables in _scopes(tree, _variables(tree.body, {})):
            for node in _nodes_of(scope):
                if isinstance(node, ast.Call) and _called(node) in names:
                    yield node, scope, variables


def _nodes_of(scope: ast.AST) -> Iterator[ast.AST]:
    """Yield the nodes of a function or module without those of inner functions."""
    for child in ast.iter_child_nodes(scope):
        if not isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef):
            yield child
            yield from _nodes_of(child)
