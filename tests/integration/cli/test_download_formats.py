"""`sslctl download --format`: real web servers read what it writes and prints."""

from __future__ import annotations

import os
import shutil
import stat
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from cryptography.x509 import load_pem_x509_certificates

from sslctl.cli.output.files import is_private, require_kept_mode
from sslctl.errors import BadInput
from tests.support.cdn import Cdn

NAME = "shop.example.com"


@pytest.fixture
def shop(cdn: Cdn) -> Cdn:
    """A CDN with one served domain."""
    cdn.add_domain(NAME)
    cdn.sslctl("add", NAME)
    return cdn


def _run(program: str, *arguments: str) -> None:
    """Run a web server that examines its configuration, or skip the test if it is not installed."""
    path = shutil.which(program, path=f"{os.environ['PATH']}:/usr/sbin:/usr/local/sbin")
    if path is None:
        pytest.skip(f"{program} is not installed")
    done = subprocess.run([path, *arguments], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def _nginx(folder: Path, lines: str) -> None:
    (folder / "nginx.conf").write_text(
        f"pid {folder}/pid;\nerror_log stderr;\nevents {{}}\n"
        f"http {{ access_log off; server {{ listen 127.0.0.1:8443 ssl;\n{lines}\n}} }}\n"
    )
    _run("nginx", "-t", "-p", str(folder), "-c", str(folder / "nginx.conf"))


def _apache(folder: Path, lines: str) -> None:
    modules = Path("/usr/lib/apache2/modules")
    loaded = "".join(
        f"LoadModule {name}_module {modules}/mod_{name}.so\n"
        for name in ("mpm_event", "authz_core", "socache_shmcb", "ssl")
    )
    (folder / "apache.conf").write_text(
        f"{loaded}ServerName localhost\nPidFile {folder}/apache.pid\nErrorLog /dev/stderr\nListen 127.0.0.1:8443\n"
        f"DefaultRuntimeDir {folder}\n<VirtualHost *:8443>\n{lines}\n</VirtualHost>\n"
    )
    _run("apache2", "-t", "-f", str(folder / "apache.conf"))


def _haproxy(folder: Path, lines: str) -> None:
    (folder / "haproxy.cfg").write_text(
        "defaults\n  mode http\n  timeout client 5s\n  timeout server 5s\n  timeout connect 5s\n"
        f"frontend shop\n  {lines}\n  default_backend none\nbackend none\n"
    )
    _run("haproxy", "-c", "-f", str(folder / "haproxy.cfg"))


def _caddy(folder: Path, lines: str) -> None:
    (folder / "Caddyfile").write_text(f"{NAME} {{\n{lines}\n}}\n")
    _run("caddy", "validate", "--adapter", "caddyfile", "--config", str(folder / "Caddyfile"))


Examine = Callable[[Path, str], None]
SERVERS: dict[str, tuple[Examine, list[str]]] = {
    "nginx": (_nginx, ["fullchain.pem", "privkey.pem"]),
    "apache": (_apache, ["fullchain.pem", "privkey.pem"]),
    "haproxy": (_haproxy, [f"{NAME}.pem"]),
    "caddy": (_caddy, ["fullchain.pem", "privkey.pem"]),
}


@pytest.mark.parametrize("folder_name", ["certs", "two words", "größe+1"])
@pytest.mark.parametrize("server", SERVERS)
def test_web_server_accepts_the_printed_lines(
    shop: Cdn, tmp_path: Path, server: str, folder_name: str
) -> None:
    examine, files = SERVERS[server]
    folder = tmp_path / folder_name
    result = shop.sslctl("download", NAME, "-o", str(folder), "--format", server)
    assert (result.exit_code, result.stderr) == (0, "")
    assert sorted(path.name for path in folder.iterdir()) == files
    assert {stat.S_IMODE(path.stat().st_mode) for path in folder.iterdir()} == {0o600}
    assert all(str(folder / name) in result.stdout for name in files)
    examine(tmp_path, result.stdout)
    shown = shop.sslctl("download", NAME, "-o", str(folder), "--format", server, "--force", "--json").json
    assert shown["lines"] == result.stdout.splitlines()
    assert shown["files"] == [str(folder / name) for name in files]


@pytest.mark.parametrize(
    "folder_name", ["$HOME", "a{b}", 'a"b', "a'b", "a\\b", "a%b", "a#b", "a;b", "a\nb", "a`b"]
)
@pytest.mark.parametrize("server", SERVERS)
def test_folder_that_a_web_server_would_read_as_something_else_is_refused(
    shop: Cdn, tmp_path: Path, server: str, folder_name: str
) -> None:
    folder = tmp_path / folder_name
    result = shop.sslctl("download", NAME, "-o", str(folder), "--format", server)
    assert (result.exit_code, folder.exists()) == (2, False)
    assert f"the configuration of {server} would read as something else" in result.stderr


def test_combined_file_contains_key_and_full_chain(shop: Cdn, tmp_path: Path) -> None:
    result = shop.sslctl("download", NAME, "-o", str(tmp_path), "--format", "combined")
    path = tmp_path / f"{NAME}.pem"
    assert (result.exit_code, result.stdout) == (0, f"{path}\n")
    leaf, *chain = load_pem_x509_certificates(path.read_bytes())
    key = load_pem_private_key(path.read_bytes(), None)
    assert leaf.public_key() == key.public_key()
    assert len(chain) == 1


def test_legacy_pkcs12_uses_3des_and_sha1_and_prints_a_warning(shop: Cdn, tmp_path: Path) -> None:
    secret = tmp_path / "password"
    secret.write_text("s3cret")
    options = ["--format", "pkcs12-legacy", "--password-file", str(secret)]
    result = shop.sslctl("download", NAME, "-o", str(tmp_path), *options)
    assert result.exit_code == 0
    assert result.stderr.startswith(
        "sslctl: warning: the encryption of a legacy PKCS#12 file is weak (3DES and SHA-1)"
    )
    command = [
        "openssl",
        "pkcs12",
        "-in",
        str(tmp_path / f"{NAME}.p12"),
        "-passin",
        f"file:{secret}",
        "-info",
        "-nodes",
    ]
    shown = subprocess.run(command, capture_output=True, text=True, check=True)
    assert "MAC: sha1" in shown.stderr
    assert shown.stderr.count("pbeWithSHA1And3-KeyTripleDES-CBC") == 2
    assert "AES" not in shown.stderr
    assert "BEGIN PRIVATE KEY" in shown.stdout


_EXFAT = r"""
#define _GNU_SOURCE
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>
/* Every regular file has mode 0755, as on exFAT. */
int fstat(int descriptor, struct stat *state) {
    int failed = syscall(SYS_fstat, descriptor, state);
    if (!failed && S_ISREG(state->st_mode)) state->st_mode |= 0755;
    return failed;
}
int fstat64(int descriptor, struct stat64 *state) { return fstat(descriptor, (struct stat *)state); }
"""
_WRITE = """
import sys
from pathlib import Path
from sslctl.cli.output.files import write_new
from sslctl.errors import BadInput
folder = Path(sys.argv[1])
try:
    write_new(folder, {"privkey.pem": b"key"}, force=False)
except BadInput as error:
    print(error.message)
write_new(folder, {"shop.p12": b"encrypted"}, force=False, require_private=False)
print(*(path.name for path in folder.iterdir()))
"""


def test_process_on_a_file_system_without_modes_writes_pkcs12_and_no_plain_key(tmp_path: Path) -> None:
    compiler = shutil.which("cc")
    if compiler is None:
        pytest.skip("there is no C compiler")
    (tmp_path / "exfat.c").write_text(_EXFAT)
    built = [compiler, "-shared", "-fPIC", "-o", str(tmp_path / "exfat.so"), str(tmp_path / "exfat.c")]
    subprocess.run(built, check=True, capture_output=True)
    out = tmp_path / "out"
    done = subprocess.run(
        [sys.executable, "-c", _WRITE, str(out)],
        env={**os.environ, "LD_PRELOAD": str(tmp_path / "exfat.so")},
        capture_output=True,
        text=True,
        check=True,
    )
    refusal, written = done.stdout.splitlines()
    assert refusal.startswith(
        f"the file system of {out} cannot keep the mode 0600 (files there have 0755), so "
    )
    assert written == "shop.p12"


def test_key_is_not_written_if_the_file_system_cannot_keep_its_mode(tmp_path: Path) -> None:
    """On exFAT every file has the mode of the mount; a file with that mode stands for it."""
    file = tmp_path / "file"
    file.touch()
    for mode in (0o755, 0o640, 0o604):
        file.chmod(mode)
        assert not is_private(file.stat())
        with pytest.raises(
            BadInput, match=f"cannot keep the mode 0600 .files there have {mode:04o}."
        ) as caught:
            require_kept_mode(file.stat(), tmp_path)
        assert "--format pkcs12" in str(caught.value.hint)
    for mode in (0o600, 0o700, 0o400):
        file.chmod(mode)
        require_kept_mode(file.stat(), tmp_path)
