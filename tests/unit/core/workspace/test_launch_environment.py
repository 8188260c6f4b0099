"""What who launches a session may set in it."""

from __future__ import annotations

import pytest

from greenroom.core.workspace.run_config import chosen_by_users, launch_problem

REFUSED = (
    *("LD_PRELOAD", "LD_LIBRARY_PATH", "BASH_ENV", "BASHOPTS", "ENV", "PATH", "IFS", "SHELLOPTS", "GCONV_PATH"),
    *("PYTHONPATH", "PERL5LIB", "NODE_OPTIONS", "RUBYOPT", "GTK_MODULES", "http_proxy", "HTTPS_PROXY", "no_proxy"),
    "OPENSSL_CONF",
)
ALLOWED = ["COLOUR", "LANG", "LC_ALL", "TZ", "EDITOR", "ENVIRONMENT", "MY_PATH", "LDAP_SERVER"]


@pytest.mark.parametrize("name", REFUSED)
def test_what_makes_programs_run_other_code_is_refused(name: str):
    problem = launch_problem({name: "x"})
    assert problem is not None
    assert problem.startswith(f"{name} changes which code")


@pytest.mark.parametrize("name", ALLOWED)
def test_what_is_the_users_own_is_not(name: str):
    assert launch_problem({name: "x"}) is None


def test_what_is_greenrooms_own_is_refused_as_everywhere():
    assert "is set by Greenroom" in str(launch_problem({"VNC_PW": "x"}))


def test_what_the_user_chose_is_known_by_its_name():
    assert chosen_by_users({"KASM_ID": "1", "TZ": "UTC", "COLOUR": "blue"}) == ("COLOUR", "TZ")
