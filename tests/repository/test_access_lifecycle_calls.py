"""All code after which users may do less uses the one transaction that ends what they may no longer do."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from typing import Final

from tests.support.sources import FOLDERS

REDUCING: Final = {
    "change_installation_settings",
    "change_settings",
    "delete_group",
    "delete_login",
    "delete_login_by_id",
    "delete_logins_of",
    "delete_user_row",
    "limit_to_password",
    "remove_from_group",
    "remove_image",
    "remove_members",
    "set_groups",
    "set_groups_of_image",
    "set_roles",
    "update_account",
    "update_group",
    "update_user",
}
"""Functions with a statement after which users may do less."""
GUARDS: Final = {"access_transaction", "AccessChange", "end_access"}

OTHERS: Final = {
    "api.access.accounts.create_user": "the user is new",
    "api.access.accounts.delete_anonymous_user": "the user has no session and no log-in",
    "api.access.groups.create": "the group is new",
    "api.access.lifecycle.delete": "a method of AccessChange",
    "api.access.login_routes.start_login": "the browser gets another log-in in place of this one",
    "api.access.login_routes.authenticate": "the new hash is of the same password",
    "api.access.service_account_routes.create_service_account": "the account is new",
    "identity.accounts._set_groups": "its callers have an AccessChange",
    "identity.accounts.apply_claims": "its callers have an AccessChange",
    "identity.callback._store_login": "the browser gets another log-in in place of this one",
    "interfaces.public.users.delete_group": "it calls the route of /api/v1",
    "up.installation._insert_groups": "there are no users yet",
    "up.installation.set_break_glass": "the user may do as much as before",
}
"""Functions that call one of them in another transaction → the reason."""

OTHER_STATEMENTS: Final = {
    "begin_loss": "it increases the epoch of users in this transaction",
    "insert_login": "it stores the time of a log-in",
    "insert_token_login": "it stores the time of a log-in",
}

STATEMENT: Final = re.compile(
    r"DELETE FROM (user_groups|group_images|group_roles|groups|users|login_sessions)\b|UPDATE (users|groups) SET"
)


def _functions() -> Iterator[tuple[str, ast.FunctionDef | ast.AsyncFunctionDef]]:
    """Each function of the product, with its name: module below `greenroom`, and function."""
    for folder in FOLDERS:
        for file in sorted(folder.rglob("*.py")):
            module = ".".join(file.relative_to(folder).with_suffix("").parts)
            for node in ast.walk(ast.parse(file.read_text())):
                if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                    yield f"{module}.{node.name}", node


def _names(node: ast.AST) -> set[str]:
    """All names and attributes in a function."""
    names = (part for part in ast.walk(node) if isinstance(part, ast.Name | ast.Attribute))
    return {name.id if isinstance(name, ast.Name) else name.attr for name in names}


def _has_statement(node: ast.AST) -> bool:
    texts = (part.value for part in ast.walk(node) if isinstance(part, ast.Constant))
    return any(isinstance(text, str) and STATEMENT.search(text) for text in texts)


def test_changes_that_may_reduce_access_are_made_in_its_transaction():
    callers = {
        name: _names(node)
        for name, node in _functions()
        if not name.startswith(("db.", "runtimes.")) and not _names(node).isdisjoint(REDUCING)
    }
    unguarded = {name for name, names in callers.items() if names.isdisjoint(GUARDS)}
    assert unguarded == set(OTHERS)
    assert len(callers) - len(unguarded) >= 20


def test_statements_that_may_reduce_access_are_in_checked_functions():
    found = {name.rpartition(".")[2] for name, node in _functions() if _has_statement(node)}
    assert found - set(OTHER_STATEMENTS) <= REDUCING
    assert len(found) >= 12
