"""The required options of a pool of the provider libcloud, and those that it must not set."""

from __future__ import annotations

from typing import Any

import pytest

from greenroom.core.fleet.machines.provider import is_same_destination, lists_same_machines, options_problem
from greenroom.machine_providers.libcloud.rules import LIBCLOUD

EC2: dict[str, Any] = {"driver": "ec2", "size": "m6i.2xlarge", "image": "ami-1"}


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"driver": "ec2", "size": "m6i.2xlarge"}, "needs the option image"),
        ({**EC2, "create": []}, "The option create must be an object"),
        *(
            ({**EC2, "arguments": {name: "x"}}, f"may not choose the argument {name}")
            for name in ("host", "port", "secure", "path", "ex_force_auth_url", "key_file", "Region")
        ),
        ({**EC2, "arguments": {"region": "x/../y"}}, "The argument region must be a string of letters"),
        *(
            ({**EC2, "create": {name: "x"}}, f"may not have {name}")
            for name in ("host", "image_url", "ex_keyfile_path", "ssh_key_file")
        ),
    ],
)
def test_options_that_lead_elsewhere_or_lack_something_are_refused(options: dict[str, Any], words: str):
    assert words in (options_problem("libcloud", LIBCLOUD, options) or "")


def test_a_driver_with_size_and_image_is_taken():
    assert options_problem("libcloud", LIBCLOUD, EC2) is None


def test_another_size_is_the_same_cloud_and_another_region_is_not():
    smaller, elsewhere = {**EC2, "size": "c6i.large"}, {**EC2, "arguments": {"region": "eu-west-1"}}
    for is_same in (is_same_destination, lists_same_machines):
        assert is_same(LIBCLOUD, EC2, smaller)
        assert not is_same(LIBCLOUD, EC2, elsewhere)
