"""The systemd unit runs the tick: systemd as first process, its sandbox, real certbot and real Pebble."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import UTC, datetime

import pytest

from sslctl.sandbox.c4.faults import Fault, Operation
from sslctl.sandbox.cdn import SandboxCdn
from tests.support.booted import Machine, can_boot

pytestmark = [pytest.mark.pebble, pytest.mark.systemd]

RESULT = ("Result", "ActiveState", "ExecMainStatus")


@pytest.fixture(scope="module")
def cdn(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SandboxCdn]:
    if not can_boot():
        pytest.skip("a machine can be booted by root alone, where overlays and cgroup2 can be mounted")
    with SandboxCdn(tmp_path_factory.mktemp("cdn"), clock=lambda: datetime.now(UTC)) as running:
        yield running


@pytest.fixture(scope="module")
def machine(cdn: SandboxCdn, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Machine]:
    with Machine(tmp_path_factory.mktemp("machine"), cdn) as booted:
        # systemd unloads a unit that nothing refers to, and its results are lost.
        assert booted.run("systemctl", "start", "sslctl.timer").returncode == 0
        yield booted


def test_service_obtains_a_certificate_inside_its_sandbox(cdn: SandboxCdn, machine: Machine) -> None:
    cdn.add_domain("shop.example.test")
    assert machine.sslctl("add", "shop.example.test", "--no-wait").returncode == 0
    started = machine.run("systemctl", "start", "sslctl.service")
    assert (started.returncode, started.stderr) == (0, ""), machine.said()
    assert machine.show("sslctl.service", *RESULT) == {
        "Result": "success",
        "ActiveState": "inactive",
        "ExecMainStatus": "0",
    }
    assert "Success" in machine.sslctl("list").stdout
    assert cdn.c4.serving("shop.example.test") is not None


def test_unit_does_not_fail_when_a_tick_finds_an_emergency(cdn: SandboxCdn, machine: Machine) -> None:
    cdn.add_domain("late.example.test")
    machine.sslctl("add", "late.example.test", "--no-wait")
    cdn.c4.set_faults(Fault(kind=Operation.UPLOAD, status=400))
    assert machine.run("systemctl", "start", "sslctl.service").returncode == 0
    cdn.c4.set_faults()
    shown = machine.show("sslctl.service", *RESULT)
    assert (shown["Result"], shown["ExecMainStatus"]) == ("success", "7")
    assert "late.example.test" in machine.said()
    assert machine.run("systemctl", "start", "sslctl.service").returncode == 0
    assert machine.show("sslctl.service", *RESULT)["ExecMainStatus"] == "0"


def test_unit_fails_when_the_tick_cannot_run(machine: Machine) -> None:
    machine.run(
        "sh", "-c", "mv /etc/sslctl/config.toml /etc/sslctl/away && echo nonsense > /etc/sslctl/config.toml"
    )
    machine.run("sh", "-c", "chgrp sslctl /etc/sslctl/config.toml && chmod 640 /etc/sslctl/config.toml")
    assert machine.run("systemctl", "start", "sslctl.service").returncode == 1
    assert machine.show("sslctl.service", *RESULT)["ExecMainStatus"] == "8"
    machine.run("mv", "/etc/sslctl/away", "/etc/sslctl/config.toml")
    assert machine.run("systemctl", "start", "sslctl.service").returncode == 0


def test_service_skips_a_domain_that_an_operator_has_claimed(cdn: SandboxCdn, machine: Machine) -> None:
    """The claim holds although the operator's process is outside the service's namespaces."""
    cdn.add_domain("held.example.test")
    machine.sslctl("add", "held.example.test", "--no-wait")
    with machine.holding("held.example.test"):
        machine.run("systemctl", "start", "sslctl.service")
        held = machine.sslctl("list", "--json")
    assert '"QUEUED"' in held.stdout, machine.said()
    assert machine.run("systemctl", "start", "sslctl.service").returncode == 0
    assert '"QUEUED"' not in machine.sslctl("list", "--json").stdout


def test_timer_is_scheduled_for_the_next_five_minutes(machine: Machine) -> None:
    shown = machine.show("sslctl.timer", "ActiveState", "Triggers", "NextElapseUSecRealtime")
    assert (shown["ActiveState"], shown["Triggers"]) == ("active", "sslctl.service")
    # So midnight in Singapore is met in every time zone; systemd writes "Wed 2026-11-25 01:05:00 UTC".
    assert re.search(r":[0-5][05]:00 ", shown["NextElapseUSecRealtime"])


def test_page_is_served_to_the_group_of_the_proxy_alone(machine: Machine) -> None:
    web = "[web]\npublic_url = 'https://ssl.example.net'\nperson_header = 'X-Person'\nviewers = ['vera']\nsocket_group = 'www-data'"
    install = (
        "cp /opt/project/contrib/systemd/sslctl-page.service /etc/systemd/system/"
        " && cp -r /etc/systemd/system/sslctl.service.d /etc/systemd/system/sslctl-page.service.d"
        f' && echo "{web}" >> /etc/sslctl/config.toml && systemctl daemon-reload'
    )
    assert machine.run("sh", "-c", install).returncode == 0
    started = machine.run("systemctl", "start", "sslctl-page.service")
    assert started.returncode == 0, started.stderr + machine.said()
    page = (
        "import socket\n"
        "client = socket.socket(socket.AF_UNIX)\n"
        "client.connect('/run/sslctl-page/page.sock')\n"
        "client.sendall(b'GET / HTTP/1.0\\r\\nHost: ssl.example.net\\r\\nX-Person: vera\\r\\n\\r\\n')\n"
        "print(client.makefile().readline())\n"
    )
    answer = machine.run(*_as("www-data", "www-data"), machine.python, "-c", page)
    assert answer.stdout.split()[1:2] == ["200"], answer.stderr + machine.said()
    assert "PermissionError" in machine.run(*_as("nobody", "nogroup"), machine.python, "-c", page).stderr
    assert machine.run("systemctl", "stop", "sslctl-page.service").returncode == 0
    assert machine.show("sslctl-page.service", *RESULT) == {
        "Result": "success",
        "ActiveState": "inactive",
        "ExecMainStatus": "0",
    }
    # A mistake in [web] fails the start, where an operator sees it.
    machine.run("sed", "-i", "s/^person_header.*//", "/etc/sslctl/config.toml")
    assert machine.run("systemctl", "start", "sslctl-page.service").returncode == 1
    assert "web.person_header is not set" in machine.said()


def _as(user: str, group: str) -> tuple[str, ...]:
    return ("setpriv", f"--reuid={user}", f"--regid={group}", "--clear-groups")


def test_service_sandbox_refuses_what_sslctl_does_not_need(machine: Machine) -> None:
    """Each forbidden action is tried with the settings of the service."""
    program = (
        "import ctypes, mmap, os, socket\n"
        "def attempt(what, act):\n"
        "    try: act()\n"
        "    except (OSError, ValueError) as error: print(what, 'refused')\n"
        "    else: print(what, 'ALLOWED')\n"
        "attempt('etc', lambda: open('/etc/sslctl/new', 'w'))\n"
        "attempt('opt', lambda: open('/opt/new', 'w'))\n"
        "attempt('unix', lambda: socket.socket(socket.AF_UNIX))\n"
        "attempt('netlink', lambda: socket.socket(socket.AF_NETLINK))\n"
        "attempt('port', lambda: socket.create_server(('127.0.0.1', 81)))\n"
        "attempt('wx', lambda: mmap.mmap(-1, 4096, prot=mmap.PROT_WRITE | mmap.PROT_EXEC))\n"
        "attempt('home', lambda: os.listdir('/root'))\n"
        "print('state', os.stat('/var/lib/sslctl').st_mode & 0o777 == 0o700)\n"
        "print('key', open(os.environ['SSLCTL_STATE_KEY_FILE']).read().count('='), os.stat(os.environ['SSLCTL_STATE_KEY_FILE']).st_mode & 0o777)\n"
        "open('/var/www/acme/x', 'w'); os.unlink('/var/www/acme/x')\n"
    )
    output = machine.try_in_sandbox(program).splitlines()
    for what in ("etc", "opt", "unix", "netlink", "port", "wx", "home"):
        assert f"{what} refused" in output
    assert "state True" in output
