"""Rules for usernames and passwords."""

from __future__ import annotations

from pathlib import PurePosixPath
from typing import Any
from uuid import UUID

import pytest
from hypothesis import strategies as st
from tests.unit.properties import for_all

from greenroom.core.access.accounts import latin_look_of, look_of, normal_language, username_problem


@for_all(st.text(st.sampled_from("ab./\\\0 "), max_size=6), subject=username_problem, mutants=[lambda name: None])
def test_an_accepted_name_stays_in_its_folder(subject: Any, name: str):
    if subject(name) is None:
        path = PurePosixPath("/profiles") / name
        assert path.parent == PurePosixPath("/profiles")
        assert ".." not in path.parts


@pytest.mark.parametrize("name", ["user@example.com", "Zoë Müller", "a", "a.b", "..a", "x" * 255])
def test_usual_names_are_accepted(name: str):
    assert username_problem(name) is None


@pytest.mark.parametrize(
    ("names", "problem"),
    [
        (("", " ", "x" * 256), "The username must have 1 to 255 characters."),
        ((" a", "a ", "a\n"), "The username must not begin or end with a space."),
        (("a/b", "a\\b", "a\nb", "a\0", "a\u202eb"), "The username must not contain slashes or control characters."),
        ((".", "..", "..."), "The username must not consist of dots."),
    ],
)
def test_other_names_are_refused(names: tuple[str, ...], problem: str):
    assert {username_problem(name) for name in names} == {problem}


@pytest.mark.parametrize(
    ("written", "stored"),
    [
        ("de", "de"),
        ("DE_de", "de-DE"),
        ("pt-br", "pt-BR"),
        ("en_US.UTF-8", "en-US"),
        ("zh_TW.utf8", "zh-TW"),
        ("es-419", "es-419"),
        ("en-001", "en-001"),
        ("zh-hant-hk", "zh-Hant-HK"),
        ("sr-Latn", "sr-Latn"),
        ("fil", "fil"),
        ("de-CH-1996", "de-CH"),
        ("ca-ES-valencia", "ca-ES"),
        ("en-US-u-ca-gregory-x-private", "en-US"),
    ],
)
def test_a_language_is_stored_in_one_form(written: str, stored: str):
    assert normal_language(written) == stored
    assert normal_language(stored) == stored


@pytest.mark.parametrize(
    "written", ["", "english", "xx", "de-", "de--DE", "de" + "-abc" * 30, "de_DE; rm", "C", "de\n", "de_DE.ISO-8859-1"]
)
def test_what_is_no_language_is_refused(written: str):
    with pytest.raises(ValueError, match=r"^there is no such language; write one like de or de-DE$"):
        normal_language(written)


@for_all(st.text(max_size=12), subject=normal_language, mutants=[str.lower])
def test_a_stored_language_is_safe_in_an_environment(subject: Any, text: str):
    try:
        stored = subject(text)
    except ValueError:
        return
    assert stored.replace("-", "").isascii()
    assert stored.replace("-", "").isalnum()


@pytest.mark.parametrize(
    ("name", "is_refused"),
    [
        *(("API key 53sLeAxExfV0", True), ("api KEY x", True), ("\uff21\uff30\uff29 key x", True), ("anonymous", True)),
        *(("SCIM client Okta", True), (f"lease {UUID(int=1)}", True), ("Anonymous", True)),
        *(("api", False), ("apikey", False), ("lease", False), ("anonymous2", False), ("session manager", False)),
    ],
)
def test_no_user_has_the_name_of_another_actor(name: str, is_refused: bool):
    assert (username_problem(name) is not None) == is_refused


@pytest.mark.parametrize(
    "name",
    [
        "administrators",
        "ADMINISTRATORS",
        "\u0410dministrators",
        "Admin\u0456strat\u043ers",
        "\u0391dministrators",
        "Adm\u0131nistrators",
        "Admin\u200bistrators",
        "Administrators\u202e",
        "A d m i n i s t r a t o r s",
        "Admin-istrators.",
        "Adm1nistrat0rs",
        "Admlnistrators",
        "\uff21dministrators",
        "\u00c1dministrators",
    ],
)
def test_a_name_looks_like_another_one(name: str):
    assert look_of(name) == look_of("Administrators")


@pytest.mark.parametrize("name", ["Administration", "Administrator", "Sales", "\u0410\u0434\u043c\u0438\u043d\u044b"])
def test_other_names_do_not_look_alike(name: str):
    assert look_of(name) != look_of("Administrators")


@pytest.mark.parametrize(
    ("name", "latin_name"),
    [
        ("\u0430dmin", "admin"),
        ("\u0430\u04cf\u0435\u0445", "alex"),
        ("Zo\u0451", "Zoe\u0308"),
        ("\u041c\u0443\u043a@example.com", "myk@example.com"),
        *(("admin", None), ("Zo\u00eb", None), ("mill1\u00e9", None), ("\u5c71\u7530", None)),
    ],
)
def test_letters_of_other_scripts_are_read_as_latin_ones(name: str, latin_name: str | None):
    assert latin_look_of(name) == latin_name
