"""Every command of a page stands where the acceptance tests run it, or is listed here; its page says why not."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from tests.acceptance.patroni import PAGE as DATABASE
from tests.acceptance.test_compose_one_host import PAGE as IN_CONTAINERS
from tests.acceptance.test_demo import PAGE as DEMO
from tests.acceptance.test_documentation import READ
from tests.acceptance.test_rehearsal import PAGE as REHEARSED
from tests.commands_of_pages import ROOT, blocks_of, words_of
from tests.release.test_installation import PAGE as ON_A_BARE_MACHINE
from tests.repository.test_documentation import PAGES
from tests.support.kubernetes.page import PAGE as ON_KUBERNETES

NOT_RUN = {
    ("docs/howto/back-up.md", "greenroom backup /var/backups/greenroom"),
    ("docs/howto/back-up.md", "install -D -m 600 /dev/stdin /etc/greenroom/backup-passphras"),
    ("docs/howto/back-up.md", "greenroom restore BACKUP_FILE --dry-run"),
    ("docs/howto/back-up.md", "greenroom down"),
    ("docs/howto/back-up.md", "greenroom restore BACKUP_FILE --as-copy --data FOLDER"),
    ("docs/howto/back-up.md", "tar -xf BACKUP_FILE"),
    ("CONTRIBUTING.md", "script/check"),
    ("README.md", "sudo apt-get install --no-install-recommends ./greenroom_0.1"),
    ("README.md", "script/up"),
    ("docs/howto/behind-a-reverse-proxy.md", "greenroom up --public-url https://desk.example.org"),
    ("docs/howto/behind-a-reverse-proxy.md", "greenroom up --hostname rooms.internal --public-url https://"),
    ("docs/howto/languages.md", "npm run extract --prefix web"),
    ("docs/howto/containers.md", "greenroom backup /var/backups/greenroom --compose ."),
    ("docs/howto/disable-a-manager.md", "docker exec -i kasm_db sh -c 'PGPASSWORD=$(cat /run/secrets/"),
    ("docs/howto/containers.md", "sudo python3 -m venv /opt/greenroom-0.1.0"),
    ("docs/howto/containers.md", "docker load --input greenroom-images-0.1.0.tar.gz"),
    ("docs/howto/containers.md", "sudo python3 -m venv /opt/greenroom-0.2.0"),
    ("docs/howto/containers.md", "cd /opt/greenroom-deploy-0.2.0/compose"),
    ("docs/howto/containers.md", "docker load --input greenroom-images-0.2.0.tar.gz"),
    ("docs/howto/containers.md", "docker-compose stop"),
    ("docs/howto/containers.md", "deploy/compose/build"),
    ("docs/howto/containers.md", "docker run --rm --privileged --network host --user root -v /"),
    ("docs/howto/catalogue.md", "curl --fail --cacert DATA/ca.pem -u KEY:SECRET -T picture.pn"),
    ("docs/howto/catalogue.md", "greenroom catalogue add firefox --wait"),
    ("docs/howto/catalogue.md", "greenroom catalogue update firefox --wait"),
    ("docs/howto/catalogue.md", "greenroom catalogues create example --list-url https://regis"),
    ("docs/howto/containers.md", "docker-compose up -d"),
    ("docs/howto/containers.md", "git pull"),
    ("docs/howto/containers.md", "scp -r /opt/kasm/current/hosts/second.example.org root@secon"),
    ("docs/howto/settings.md", "greenroom settings list"),
    ("docs/howto/sign-on.md", "greenroom sign-on-providers update company --rule 'Staff=gro"),
    ("docs/howto/ldap.md", "greenroom directories update company --rule 'Staff=groups:cn"),
    ("docs/howto/record-sessions.md", "greenroom groups update Contractors --settings record_sessio"),
    ("docs/howto/record-sessions.md", "greenroom session-videos list"),
    ("docs/howto/kubernetes-day.md", "greenroom images create Editor --name registry.example.org/e"),
    ("docs/howto/kubernetes-day.md", "greenroom images create Renderer --name greenroom/desktop:op"),
    ("docs/howto/kubernetes-day.md", "greenroom sessions launch Desktop --user ann@example.org --w"),
    ("docs/howto/kubernetes-day.md", "kubectl -n greenroom get pods -o wide"),
    ("docs/howto/kubernetes-day.md", "kubectl -n greenroom patch resourcequota greenroom --patch '"),
    ("docs/howto/kubernetes-day.md", "kubectl drain grk0a --pod-selector=greenroom.io/session-id -"),
    ("docs/howto/kubernetes-day.md", "kubectl get nodes"),
    ("docs/howto/kubernetes.md", "kubectl apply -f deploy/kubernetes/parts/namespace/namespace"),
    ("docs/howto/kubernetes-upgrade.md", "greenroom backup /var/backups/greenroom --kubernetes greenro"),
    ("docs/howto/kubernetes-upgrade.md", "greenroom restore BACKUP_FILE --kubernetes greenroom-site --"),
    ("docs/howto/kubernetes-upgrade.md", "greenroom restore BACKUP_FILE --replace --kubernetes BACKUP_"),
    ("docs/howto/kubernetes-upgrade.md", "greenroom upgrade --kubernetes greenroom-site-0.2.0 --keys g"),
    ("docs/howto/database-failover.md", "mkdir -p /etc/postgresql-common/createcluster.d"),
    ("docs/howto/database-failover.md", "systemctl enable --now etcd"),
    ("docs/howto/database-failover.md", "chown -R postgres: /etc/patroni && chmod 600 /etc/patroni/co"),
    ("docs/howto/database-failover.md", "sudo -u postgres psql -h /var/run/postgresql -c '\\password g"),
    ("docs/howto/audit.md", "greenroom audit list --since 1d"),
    ("docs/howto/audit.md", "greenroom audit verify"),
    ("docs/howto/audit.md", "greenroom audit verify --expect 5124:9f2b…"),
    ("docs/howto/audit.md", "greenroom audit export --since 30d --to audit.jsonl"),
    ("docs/howto/audit.md", "greenroom webhooks create siem --address https://siem.exampl"),
    ("docs/howto/audit.md", "greenroom settings update audit_hold=true"),
    ("docs/howto/branding.md", 'greenroom settings update installation_name="University Desk'),
    ("docs/howto/autoscaling.md", "greenroom machine-pools create --name cloud --zone default -"),
    ("docs/howto/autoscaling.md", ".venv/bin/uv pip install --no-deps --no-build-isolation -r r"),
    ("docs/howto/images-without-a-registry.md", "docker save greenroom/{api,manager,gateway,agent,db}:latest "),
    ("docs/howto/install-from-packages.md", "script/release 0.1.0 --no-images --unreleased"),
    ("docs/howto/install-from-packages.md", "sudo apt-get install --no-install-recommends ./greenroom_0.1"),
    ("docs/howto/install-from-packages.md", "sudo greenroom uninstall"),
    ("docs/howto/demo.md", "greenroom status --data ~/.local/share/greenroom-demo"),
    ("docs/howto/load-test.md", "GREENROOM_RUNTIME=simulated greenroom up --detach"),
    ("docs/howto/one-machine.md", "greenroom down"),
    ("docs/howto/upgrade.md", "sudo apt-get install --no-install-recommends ./greenroom_0.2"),
    ("docs/howto/upgrade.md", "sudo python3 -m venv /opt/greenroom-0.2.0"),
    ("docs/howto/upgrade.md", "sudo /opt/greenroom-0.2.0/bin/greenroom upgrade --dry-run"),
    ("docs/howto/upgrade.md", "sudo /opt/greenroom/bin/python -P -m greenroom down --data /"),
    ("docs/howto/rolling-update.md", "/opt/greenroom-0.2.0/bin/greenroom upgrade --services --dry-"),
    ("docs/howto/rolling-update.md", "systemctl stop greenroom-manager greenroom-api"),
    ("docs/howto/back-up.md", "greenroom backup /var/backups/greenroom --services"),
    ("docs/howto/several-machines.md", "script/release 0.1.0 --no-images --unreleased"),
    ("docs/howto/several-machines.md", "apt-get install python3-venv nginx-light && systemctl disabl"),
    ("docs/howto/several-machines.md", "chown greenroom: /etc/greenroom/installation.key /etc/greenr"),
    ("docs/howto/several-machines.md", "greenroom agents enable host-1"),
    ("docs/howto/several-machines.md", "greenroom join https://greenroom.example.org --token … --edg"),
    ("docs/howto/several-machines.md", 'greenroom setup installation --database-url "…" --hosts gree'),
    ("docs/howto/several-machines.md", ".venv/bin/python -m bench.agents --agents 1000 --token-file "),
    ("docs/howto/several-machines.md", "systemctl enable --now greenroom-agent greenroom-gateway"),
    ("docs/howto/several-machines.md", "systemctl enable --now greenroom-api greenroom-manager green"),
    ("docs/howto/disable-a-manager.md", "greenroom managers delete manager-eu-1-c48827a3"),
    ("docs/howto/verify-a-release.md", 'echo "greenroom $(cat publisher.pub)" > allowed_signers'),
    ("docs/howto/verify-a-release.md", "git checkout v0.1.0"),
    ("docs/howto/verify-a-release.md", "sha256sum --check --strict SHA256SUMS"),
    ("docs/howto/zones-and-agents.md", "greenroom agents delete HOST --force"),
    ("docs/reference/enrollment.md", "greenroom join https://greenroom.example.org:8443 --token … "),
    ("docs/performance.md", "script/bench scale"),
    ("docs/reference/foreign-images.md", "greenroom images create Chrome --name kasmweb/chrome:1.18.0"),
    ("docs/reference/host-footprint.md", "sudo greenroom uninstall"),
    ("docs/reference/host-limits.md", "greenroom setup limits"),
    ("docs/reference/support-bundle.md", "sudo greenroom support-bundle"),
    ("docs/tutorial/first-desktop.md", "git clone ADDRESS greenroom && cd greenroom"),
    ("docs/reference/recipes.md", "RECIPES=catalogue script/test tests/host/test_recipes.py"),
}
"""(page, beginning of the first line) of the blocks that no test runs; each says on its page why."""

PROGRAMS = r"(\$ )?(greenroom|docker|docker-compose|curl|git|script|deploy|systemctl|apt-get|scp|kill|cp|tar)\b"


def relative(page: Path) -> str:
    return str(page.relative_to(ROOT))


def test_what_is_not_run_is_listed():
    found = {
        (relative(page), block.first.partition("  #")[0].rstrip()[:60])
        for page in PAGES
        for block in blocks_of(page)
        if block.not_run is not None
    }
    assert found == NOT_RUN


def test_every_page_with_commands_is_read():
    pages = {page for page in PAGES if any(block.not_run is None for block in blocks_of(page))}
    assert pages == {*READ, IN_CONTAINERS, ON_KUBERNETES, REHEARSED, DEMO, DATABASE, ON_A_BARE_MACHINE}


@pytest.mark.parametrize("page", PAGES, ids=relative)
def test_no_command_stands_in_a_block_that_is_not_run(page: Path):
    """But in the reference of the command line, whose examples are output of an instance with other contents."""
    others = re.sub(r"^```.*?^```$", "", page.read_text(), flags=re.MULTILINE | re.DOTALL)
    hidden = re.findall(rf"^    {PROGRAMS}.*$", others, re.MULTILINE)
    assert hidden == [] or page.name == "command-line.md"


def test_a_block_is_found_with_its_section_and_its_reason(tmp_path: Path):
    page = tmp_path / "page.md"
    page.write_text(
        "# One\n\n```sh\na\nb\n```\n\n## Two\n\n<!-- not run: no time -->\n```sh\nc\n```\n\n"
        "```yaml\nx: 1\n```\n\n```console\n$ d\nsaid 1 word\n```\n"
    )
    found = [(block.section, block.commands, block.shown, block.not_run) for block in blocks_of(page)]
    assert found == [("One", "a\nb", "", None), ("Two", "c", "", "no time"), ("Two", "d", "said 1 word", None)]


def test_words_of_an_output_are_those_that_are_the_same_each_time():
    shown = "allow: session 9756cb25-f886 of host-1 is in /opt/list at 12:30, 4.5 s ago"
    assert words_of(shown) == ["session", "ago"]
