"""The variables that a launch may set in its session."""

from __future__ import annotations

import pytest

from greenroom.core.workspace.launch_environment import launch_problem, user_variables, user_variables_problem

REFUSED = (
    *("LD_PRELOAD", "LD_LIBRARY_PATH", "BASH_ENV", "BASHOPTS", "ENV", "PATH", "IFS", "SHELLOPTS", "GCONV_PATH"),
    *("PYTHONPATH", "PERL5LIB", "NODE_OPTIONS", "RUBYOPT", "GTK_MODULES", "http_proxy", "HTTPS_PROXY", "no_proxy"),
    *("OPENSSL_CONF", "GREENROOM_DESKTOP", "GREENROOM_PICTURE", "VNC_USER", "NO_VNC_PORT", "DISPLAY", "HOME"),
    *("XDG_CONFIG_HOME", "DBUS_SESSION_BUS_ADDRESS", "GTK3_MODULES", "GTK_EXE_PREFIX", "GDK_PIXBUF_MODULEDIR"),
    *("GST_PLUGIN_PATH", "LIBGL_DRIVERS_PATH", "VK_ICD_FILENAMES", "SSL_CERT_FILE", "SSLKEYLOGFILE", "LESSOPEN"),
    *("GIT_SSH_COMMAND", "CHROME_DEVEL_SANDBOX", "__EGL_VENDOR_LIBRARY_FILENAMES", "XENVIRONMENT", "BROWSER"),
    *("EDITOR", "VISUAL", "PAGER", "SYSTEMD_EDITOR", "JUPYTER_CONFIG_DIR", "PIP_INDEX_URL", "npm_config_registry"),
    *(
        "ELECTRON_RUN_AS_NODE",
        "JAVA_TOOL_OPTIONS",
        "_JAVA_OPTIONS",
        "SSH_ASKPASS",
        "KIOSK_ADDRESS",
        "REQUESTS_CA_BUNDLE",
    ),
    *("OTHER_PLUGIN_PATH", "OTHER_PRELOAD"),
)
ALLOWED = (
    *("COLOUR", "LANG", "LC_ALL", "TZ", "ENVIRONMENT", "MY_PATH", "LDAP_SERVER", "TASK_ID", "API_BASE", "API_TOKEN"),
    *("A", "course", "PROMPT", "DEBUG", "TERMS", "QTY", "GST", "MANAGER", "CARGO", "TARGET_URL", "OPENAI_API_KEY"),
)


@pytest.mark.parametrize("name", REFUSED)
def test_what_makes_programs_run_other_code_is_refused(name: str):
    problem = launch_problem({name: "x"})
    assert problem is not None
    assert problem.startswith(f"{name} affects the code")


@pytest.mark.parametrize("name", ALLOWED)
def test_what_is_the_users_own_is_not(name: str):
    assert launch_problem({name: "x"}) is None


def test_what_is_greenrooms_own_is_refused_as_everywhere():
    assert "is set by Greenroom" in str(launch_problem({"VNC_PW": "x"}))


def test_no_container_is_made_with_a_variable_that_a_launch_may_not_set():
    chosen = {"KASM_ID": "1", "HOME": "/elsewhere"}
    assert "HOME affects the" in str(user_variables_problem(chosen, of_workspace=()))
    assert user_variables_problem(chosen, of_workspace=("HOME",)) is None, "the workspace's takes its place"


def test_launches_set_no_variable_of_the_image_but_language_and_time_zone():
    image = ("MODE", "LANG", "TZ", "KASM_ID")
    assert str(user_variables_problem({"MODE": "desktop"}, of_workspace=(), of_image=image)).startswith(
        "MODE is set by the image"
    )
    assert user_variables_problem({"LANG": "de", "TZ": "UTC", "KASM_ID": "1"}, of_workspace=(), of_image=image) is None


def test_what_the_user_chose_is_known_by_its_name():
    assert user_variables({"KASM_ID": "1", "TZ": "UTC", "COLOUR": "blue"}) == ("COLOUR", "TZ")
