"""Reports about refused requests: few rows, even if a session causes many refusals."""

from __future__ import annotations

import os
from pathlib import Path

from greenroom.agent.web_filter.denials import (
    MAX_COUNTS,
    MAX_READING_BYTES,
    MAX_ROWS,
    REPEAT_INTERVAL_S,
    DenialLog,
    Denials,
)
from greenroom.core.web_filter import Denial, FilterPolicy

POLICY = FilterPolicy(filter_policy_id="p", name="Strict", deny=("ads.test",), allow=("open.test",))
LINE = "1700000000 172.20.0.2 TCP_DENIED CONNECT ads.test 443\n"


def denial(host: str = "ads.test", source: str = "172.20.0.2", port: int = 443, method: str = "CONNECT") -> Denial:
    return Denial(at=0.0, source=source, method=method, host=host, port=port)


def session_of(source: str) -> str | None:
    return "a session" if source == "172.20.0.2" else None


def test_a_log_row_has_the_session_the_request_and_the_reason():
    (row,) = Denials().rows(POLICY, [denial()], session_of, 0.0)
    assert row.session_id == "a session"
    assert row.sentence == "Web filter Strict: CONNECT ads.test was refused: ads.test is in the deny list."
    assert row.details == {
        "policy": "Strict",
        "filter_policy_id": "p",
        "host": "ads.test",
        "port": 443,
        "method": "CONNECT",
        "count": 1,
    }


def test_a_refused_request_to_an_allowed_host_is_explained_by_its_address():
    (row,) = Denials().rows(POLICY, [denial("open.test", method="GET", port=80)], session_of, 0.0)
    assert "it leads to a private network or to this host" in row.sentence


def test_repeated_refusals_are_counted_and_reported_after_a_pause():
    denials = Denials()
    assert len(denials.rows(POLICY, [denial()] * 3, session_of, 0.0)) == 1
    assert denials.rows(POLICY, [denial()] * 4, session_of, REPEAT_INTERVAL_S - 1) == []
    (row,) = denials.rows(POLICY, [denial()], session_of, REPEAT_INTERVAL_S + 1)
    assert row.details["count"] == 5
    assert "5 times" in row.sentence


def test_each_session_has_its_own_row():
    rows = Denials().rows(POLICY, [denial(), denial(source="172.20.0.3")], session_of, 0.0)
    assert [row.session_id for row in rows] == ["a session", None]


def test_refusals_for_many_hosts_are_summarized_in_one_row():
    denials = Denials()
    many = [denial(f"h{number}.test") for number in range(MAX_COUNTS * 2)]
    rows = denials.rows(POLICY, many, session_of, 0.0)
    assert len(rows) == MAX_ROWS + 1
    assert f"{len(many) - MAX_ROWS} more requests" in rows[-1].sentence
    assert len(denials._reported) <= MAX_COUNTS
    assert len(denials._unreported_counts) <= MAX_COUNTS


def test_only_lines_added_after_the_start_are_read(tmp_path: Path):
    file = tmp_path / "denials.log"
    file.write_text(LINE)
    log = DenialLog(file, lambda: None)
    assert log.read() == []
    with file.open("a") as more:
        more.write(LINE + LINE + LINE[:20])
        more.flush()
        assert len(log.read()) == 2
        more.write(LINE[20:])
        more.flush()
        assert len(log.read()) == 1


def test_a_log_created_after_the_start_is_read_from_its_beginning(tmp_path: Path):
    log = DenialLog(tmp_path / "denials.log", lambda: None)
    assert log.read() == []
    (tmp_path / "denials.log").write_text(LINE)
    assert len(log.read()) == 1


def test_lines_beyond_the_read_limit_are_skipped_and_counted(tmp_path: Path):
    file = tmp_path / "denials.log"
    log = DenialLog(file, lambda: None)
    log.read()
    file.write_text(LINE * (3 * MAX_READING_BYTES // len(LINE)))
    assert len(log.read()) <= MAX_READING_BYTES // len(LINE)
    assert log.skipped_bytes > MAX_READING_BYTES


def test_a_long_log_is_deleted_and_reopened(tmp_path: Path):
    file, reopened = tmp_path / "denials.log", list[bool]()
    log = DenialLog(file, lambda: reopened.append(True))
    log.read()
    file.write_text(LINE * (9 * MAX_READING_BYTES // len(LINE)))
    log.read()
    assert reopened == [True]
    assert not file.exists()
    file.write_text(LINE)
    assert len(log.read()) == 1


def test_links_pipes_and_folders_are_not_read(tmp_path: Path):
    """Squid owns the folder: it must neither make the Agent read another file nor block it."""
    secret, file = tmp_path / "secret", tmp_path / "denials.log"
    secret.write_text(LINE)
    log = DenialLog(file, lambda: None)
    file.symlink_to(secret)
    assert log.read() == []
    file.unlink()
    os.mkfifo(file)
    assert log.read() == []
    file.unlink()
    file.mkdir()
    assert log.read() == []


def test_a_truncated_log_is_read_from_its_beginning(tmp_path: Path):
    file = tmp_path / "denials.log"
    file.write_text(LINE * 5)
    log = DenialLog(file, lambda: None)
    file.write_text(LINE)
    assert len(log.read()) == 1
