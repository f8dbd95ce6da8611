"""Every command of docs/several-hosts.md runs on three hosts, each with a network and folders of its own, with real certbot."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import requests

from sslctl.sandbox.c4.faults import Fault, Operation
from tests.support import ROOT
from tests.support.command_line import await_true
from tests.support.documented import Block, Step, blocks, matches
from tests.support.network import missing
from tests.support.nginx import nginx_configuration
from tests.support.programs import find_program
from tests.support.several_hosts import DATABASE_PORT, NAMES, WEBROOT, SeveralHosts, ended

pytestmark = [
    pytest.mark.postgres,
    pytest.mark.pebble,
    pytest.mark.skipif(bool(missing()), reason=missing()),
]

_PAGE = (ROOT / "docs" / "several-hosts.md").read_text()
_BLOCKS = blocks(_PAGE)
_NGINX = re.search(r"```nginx\n(.*?)```", _PAGE, re.DOTALL)
_DOMAINS = ("shop.example.com", "blog.example.com", "docs.example.com")
_MARKER = re.compile(r"on ([abc](?:, [abc])*(?: and [abc])?)(?: \((.+)\))?")
_THUMBPRINT = re.compile(r"[A-Za-z0-9_-]{43}")


class _WalkThrough:
    """The page on `hosts`. The comment before each block says on which of them it runs, and what happened before."""

    def __init__(self, hosts: SeveralHosts) -> None:
        self._hosts = hosts
        self._background: subprocess.Popen[str]
        self._events: dict[str, Callable[[], None]] = {
            "": lambda: None,
            "in the background": self._slow_down,
            "a minute after a was switched off": self._switch_off,
            "without the database": lambda: hosts.hosts["c"].cut(DATABASE_PORT),
        }

    def run(self, block: Block) -> None:
        """Run the commands of `block` on its hosts."""
        found = _MARKER.fullmatch(block.marker)
        assert found is not None, block.marker
        event = found[2] or ""
        self._events[event]()
        for host in re.split(", | and ", found[1]):
            for step in block.steps:
                if event == "in the background":
                    self._begin(host, step)
                else:
                    self._run(host, step)

    def _run(self, host: str, step: Step) -> None:
        if "/media/secret" in step.command:
            self._hosts.carry_key(host, "/media/secret")
        result = self._hosts.run(host, f"{step.command} 2>&1")
        assert result.code == step.exit_code, (step.command, result)
        assert not step.output or matches(step.output, result.stdout), (step.command, result.stdout)
        if "thumbprint" in step.command:
            (thumbprint,) = set(_THUMBPRINT.findall(result.stdout))
            self._hosts.answer_challenges(thumbprint)

    def _begin(self, host: str, step: Step) -> None:
        self._background = self._hosts.start(host, step.command)
        issued = "SELECT count(*) FROM acme_order WHERE outcome = 'issued'"
        await_true(lambda: self._hosts.sql(issued) == [(len(_DOMAINS),)])

    def _slow_down(self) -> None:
        """Let C4 take its time for uploads, so that others see the tick at work."""
        self._hosts.cdn.c4.set_faults(Fault(kind=Operation.UPLOAD, delay_seconds=60))

    def _switch_off(self) -> None:
        self._hosts.hosts["a"].switch_off()
        assert ended(self._background).code != 0
        self._hosts.cdn.c4.heal()
        self._hosts.end_leases()


def test_every_command_of_the_walk_through_runs_as_documented(tmp_path: Path) -> None:
    with SeveralHosts(tmp_path) as hosts:
        for name in _DOMAINS:
            hosts.cdn.add_domain(name)
        walk = _WalkThrough(hosts)
        for block in _BLOCKS:
            walk.run(block)
        hosts.hosts["c"].mend()
        hosts.hosts["a"].switch_on()
        for host in NAMES:
            listed = hosts.run(host, ["list", "--json"]).json["domains"]
            assert {each["domain"]: each["status"] for each in listed} == dict.fromkeys(_DOMAINS, "Success")
        assert hosts.sql("SELECT count(*) FROM acme_order") == [(len(_DOMAINS),)]
        accounts = {path.parent.name for path in tmp_path.glob("*/var-lib/sslctl/acme/accounts/**/regr.json")}
        assert len(accounts) == 1


@contextmanager
def _forwarding_edge(hosts: SeveralHosts) -> Iterator[None]:
    """Run nginx with the lines of the page, to which the edge forwards the challenges that it cannot answer."""
    assert _NGINX is not None
    port = hosts.cdn.edge.standalone_port
    lines = _NGINX[1].replace("listen 80", f"listen 127.0.0.1:{port}")
    for host in hosts.hosts.values():
        lines = lines.replace(f"{host.name}.example.net", host.address)
    folder = hosts.folder / "nginx"
    folder.mkdir()
    (folder / "nginx.conf").write_text(nginx_configuration(folder, lines))
    program = find_program("nginx")
    assert program is not None
    with subprocess.Popen([program, "-p", str(folder), "-c", str(folder / "nginx.conf")]) as nginx:
        try:
            await_true(lambda: _answers(f"http://127.0.0.1:{port}/"))
            yield
        finally:
            nginx.terminate()


def _answers(url: str) -> bool:
    try:
        return bool(requests.get(url, timeout=5).status_code)
    except OSError:
        return False


@pytest.mark.nginx
@pytest.mark.parametrize("mode", ["standalone", "webroot"])
def test_edge_of_the_page_forwards_each_challenge_to_the_host_that_orders(tmp_path: Path, mode: str) -> None:
    with SeveralHosts(tmp_path, mode=mode) as hosts, _forwarding_edge(hosts):
        hosts.set_up()
        if mode == "webroot":
            for host in hosts.hosts.values():
                server = (
                    "python3",
                    "-m",
                    "http.server",
                    "--bind",
                    host.address,
                    "--directory",
                    WEBROOT,
                    "80",
                )
                hosts.start(host.name, " ".join(server))
                url = f"http://{host.address}/"
                await_true(lambda url=url: _answers(url))  # type: ignore[misc]
        # All of them order at the same time.
        running = {}
        for name in NAMES:
            hosts.cdn.add_domain(f"{name}.example.com")
            running[name] = hosts.start(name, ["add", f"{name}.example.com"])
        for name, command in running.items():
            added = ended(command)
            assert added.code == 0, (name, added)
        # One does not answer at all.
        hosts.hosts["a"].cut()
        hosts.cdn.add_domain("late.example.com")
        late = hosts.run("b", ["add", "late.example.com"])
        assert late.code == 0, late
