"""The findings of script/prose.py in documents."""

from __future__ import annotations

from pathlib import Path

import pytest
from script.prose import (
    MAX_GRADE,
    MAX_SENTENCE_WORDS,
    MIN_WORDS,
    Page,
    broken_links,
    broken_tables,
    hard_sentences,
)

LONG = " ".join(["word"] * (MAX_SENTENCE_WORDS + 1))
HARD = "Administrative reconfiguration necessitates organizational authorization procedures. "


def page(tmp_path: Path, text: str) -> Page:
    (tmp_path / "page.md").write_text(text)
    return Page(tmp_path / "page.md")


@pytest.mark.parametrize("target", ["absent.md", "page.md#absent", "#absent", "other.md#absent"])
def test_a_link_to_a_missing_file_or_heading_is_found(tmp_path: Path, target: str):
    (tmp_path / "other.md").write_text("# A heading")
    (problem,) = broken_links(page(tmp_path, f"# A heading\n\n[text]({target})"))
    assert f"3: the link {target} leads to no" in problem


@pytest.mark.parametrize(
    "text",
    [
        "[text](other.md#the-greenroom-command)",
        "# The heading\n\n[text](#the-heading)",
        "[text](https://example.org/absent)",
        "`[text](absent.md)`",
    ],
)
def test_a_link_to_a_heading_or_to_another_host_is_no_finding(tmp_path: Path, text: str):
    (tmp_path / "other.md").write_text("# The `greenroom` command")
    assert list(broken_links(page(tmp_path, text))) == []


@pytest.mark.parametrize("text", [LONG, f"- {LONG}", f"| a |\n|---|\n| {LONG} |"])
def test_a_long_sentence_is_found(tmp_path: Path, text: str):
    (problem,) = hard_sentences(page(tmp_path, text))
    assert f"a sentence has {MAX_SENTENCE_WORDS + 1} words" in problem


@pytest.mark.parametrize("text", [f"# {LONG}", f"    {LONG}", f"`{LONG}`", LONG.replace("word", "end.", 1)])
def test_headings_code_and_short_sentences_are_no_findings(tmp_path: Path, text: str):
    assert list(hard_sentences(page(tmp_path, text))) == []


@pytest.mark.parametrize("text", ["| a |\n\n|---|\n| b |", "| a |\n| b |"])
def test_a_row_without_a_table_is_found(tmp_path: Path, text: str):
    assert "this row is in no table" in next(broken_tables(page(tmp_path, text)))
    assert list(broken_tables(page(tmp_path, "| a |\n|---|\n| b |"))) == []


def test_a_clause_in_place_of_a_noun_is_found(tmp_path: Path):
    (problem,) = hard_sentences(page(tmp_path, "What is left is removed. What is left? How-to guides."))
    assert "begins with What" in problem


def test_a_page_with_hard_words_is_found(tmp_path: Path):
    (problem,) = hard_sentences(page(tmp_path, HARD * MIN_WORDS))
    assert f"at most {MAX_GRADE:.0f}" in problem
