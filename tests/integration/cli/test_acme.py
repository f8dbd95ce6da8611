"""`sslctl acme`: what the edges must answer, and the listener for edges that forward challenges."""

from __future__ import annotations

import http.client
import signal
import socket
import subprocess
from contextlib import closing

import pytest

from sslctl.errors import Exit
from sslctl.rules.stateless_answer import SERVERS, configuration
from tests.support.cdn import Cdn
from tests.support.command_line import command, environment
from tests.support.processes import with_default_signals

OTHER = "NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs"


def _thumbprint(cdn: Cdn) -> str:
    return cdn.sslctl("acme", "thumbprint").stdout.strip()


def test_thumbprint_is_the_same_at_every_call(cdn: Cdn) -> None:
    first = _thumbprint(cdn)
    assert (len(first), _thumbprint(cdn)) == (43, first)
    shown = cdn.sslctl("acme", "thumbprint", "--json").json
    assert (shown["thumbprint"], shown["server"], shown["lines"]) == (first, None, [])


@pytest.mark.parametrize("server", SERVERS)
def test_lines_for_a_server_have_the_thumbprint(cdn: Cdn, server: str) -> None:
    expected = configuration(server, _thumbprint(cdn))
    assert cdn.sslctl("acme", "thumbprint", "--for", server).stdout.splitlines() == expected
    shown = cdn.sslctl("acme", "thumbprint", "--for", server, "--json").json
    assert (shown["server"], shown["lines"]) == (server, expected)


def test_unknown_server_is_wrong_usage(cdn: Cdn) -> None:
    assert cdn.sslctl("acme", "thumbprint", "--for", "iis").exit_code == Exit.USAGE


def test_thumbprint_needs_a_state(new_cdn: Cdn) -> None:
    found = new_cdn.sslctl("acme", "thumbprint")
    assert (found.exit_code, "sslctl init" in found.stderr) == (Exit.UNUSABLE, True)


def test_key_is_in_the_backup(cdn: Cdn, tmp_path_factory: pytest.TempPathFactory) -> None:
    before, backup = _thumbprint(cdn), tmp_path_factory.mktemp("backup") / "sslctl.db"
    assert cdn.sslctl("backup", str(backup)).exit_code == Exit.OK
    for file in (cdn.folder / "state").glob("sslctl.db*"):
        file.unlink()
    assert cdn.sslctl("restore", str(backup)).exit_code == Exit.OK
    assert _thumbprint(cdn) == before


@pytest.mark.parametrize("mode", ["webroot", "standalone"])
def test_no_other_mode_answers_every_token(cdn: Cdn, mode: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SSLCTL_ACME_MODE", mode)
    refused = cdn.sslctl("acme", "serve", "--thumbprint", OTHER)
    assert (refused.exit_code, f'acme.mode is "{mode}"' in refused.stderr) == (Exit.UNUSABLE, True)


@pytest.mark.parametrize("given", ["", "short", f"{OTHER}x", f"{OTHER[:-1]}=", f"{OTHER[:-1]}\n"])
def test_text_that_is_no_thumbprint_is_refused(cdn: Cdn, given: str) -> None:
    assert cdn.sslctl("acme", "serve", "--thumbprint", given).exit_code == Exit.USAGE


def test_port_in_use_is_an_error_that_names_it(
    cdn: Cdn, closed_port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSLCTL_ACME_MODE", "stateless")
    monkeypatch.setenv("SSLCTL_ACME_HTTP01_PORT", str(closed_port))
    monkeypatch.setenv("SSLCTL_ACME_HTTP01_ADDRESS", "127.0.0.1")
    refused = cdn.sslctl("acme", "serve")
    assert (refused.exit_code, f"port {closed_port} of 127.0.0.1" in refused.stderr) == (Exit.UNUSABLE, True)


@pytest.mark.parametrize("given", [None, OTHER])
def test_listener_answers_until_it_is_ended(cdn: Cdn, given: str | None) -> None:
    with socket.create_server(("127.0.0.1", 0)) as bound:
        port = int(bound.getsockname()[1])
    options = [] if given is None else ["--thumbprint", given]
    process = subprocess.Popen(
        with_default_signals(*command("acme", "serve", *options)),
        env=environment(
            cdn,
            SSLCTL_ACME_MODE="stateless",
            SSLCTL_ACME_HTTP01_PORT=str(port),
            SSLCTL_ACME_HTTP01_ADDRESS="127.0.0.1",
        ),
        stdout=subprocess.PIPE,
        text=True,
    )
    with process:
        assert process.stdout is not None
        assert process.stdout.readline() == f"Every challenge is answered on port {port} of 127.0.0.1.\n"
        with closing(http.client.HTTPConnection("127.0.0.1", port, timeout=20)) as connection:
            connection.request("GET", "/.well-known/acme-challenge/token")
            response = connection.getresponse()
            assert response.getheader("Content-Type") == "text/plain"
            assert response.read().decode() == f"token.{given or _thumbprint(cdn)}"
        process.send_signal(signal.SIGTERM)
        assert process.wait(timeout=20) == Exit.OK
