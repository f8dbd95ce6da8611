"""Other ways to get the same certificates from the same CA: certbot, lego and dehydrated in loops, and Caddy."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.bench import meter
from tests.bench.meter import Cost, Failed, Job
from tests.bench.program import environment, installed
from tests.bench.servers import Servers

_EMAIL = "operator@sandbox.test"
_CADDY_CERTIFICATES = "storage/certificates"


@dataclass(frozen=True, slots=True)
class Competitor:
    """Another ACME client. `get` orders one certificate for each name, with files in the given folder, and returns the cost."""

    name: str
    program: str
    get: Callable[[Servers, Path, Sequence[str]], Cost]

    @property
    def is_installed(self) -> bool:
        """Return whether its program is installed."""
        return self.program == "certbot" or shutil.which(self.program) is not None


def _certbot(servers: Servers, folder: Path, names: Sequence[str]) -> Cost:
    """`certbot certonly --webroot`, once a name; the account exists already."""
    certbot = [*installed("certbot"), "--non-interactive", "--server", servers.directory_url]
    certbot += [f"--{place}-dir={folder / place}" for place in ("config", "work", "logs")]
    trust = environment(folder, REQUESTS_CA_BUNDLE=servers.ca_bundle)
    register = [[*certbot, "register", "--agree-tos", "--email", _EMAIL, "--no-eff-email"]]
    meter.run(Job(register, str(folder), trust, log=str(folder / "log")))
    loop = [[*certbot, "certonly", "--webroot", "-w", servers.webroot, "-d", name] for name in names]
    cost = meter.run(Job(loop, str(folder), trust, log=str(folder / "log")))
    return _counted(cost, folder, "config/live/*/fullchain.pem", len(names))


def _lego(servers: Servers, folder: Path, names: Sequence[str]) -> Cost:
    """`lego run`, once a name; the first one makes the account, since lego has no other way."""
    lego = ["lego", "--server", servers.directory_url, "--accept-tos", "--email", _EMAIL]
    lego += ["--path", str(folder / "lego"), "--http", "--http.webroot", servers.webroot]
    trust = environment(folder, LEGO_CA_CERTIFICATES=servers.ca_bundle)
    loop = [[*lego, "--domains", name, "run"] for name in names]
    cost = meter.run(Job(loop, str(folder), trust, log=str(folder / "log")))
    return _counted(cost, folder, "lego/certificates/*.issuer.crt", len(names))


def _dehydrated(servers: Servers, folder: Path, names: Sequence[str]) -> Cost:
    """`dehydrated --cron` over a list of names: its own batch; the account exists already."""
    challenges = Path(servers.webroot) / ".well-known" / "acme-challenge"
    challenges.mkdir(parents=True, exist_ok=True)
    (folder / "domains.txt").write_text("".join(f"{name}\n" for name in names))
    settings = {
        "CA": servers.directory_url,
        "BASEDIR": folder,
        "WELLKNOWN": challenges,
        "DOMAINS_TXT": folder / "domains.txt",
        "CURL_OPTS": f"--cacert {servers.ca_bundle}",
    }
    (folder / "config").write_text("".join(f'{key}="{value}"\n' for key, value in settings.items()))
    dehydrated = ["dehydrated", "--config", str(folder / "config")]
    plain = environment(folder)
    meter.run(
        Job([[*dehydrated, "--register", "--accept-terms"]], str(folder), plain, log=str(folder / "log"))
    )
    cost = meter.run(Job([[*dehydrated, "--cron"]], str(folder), plain, log=str(folder / "log")))
    return _counted(cost, folder, "certs/*/fullchain.pem", len(names))


def _caddy(servers: Servers, folder: Path, names: Sequence[str]) -> Cost:
    """Caddy with these names in its configuration, until the last certificate is on its disk.

    The account exists already: without one, concurrent orders create several, and some use a wrong key.
    """
    meter.run(_caddy_job(servers, folder, names[:1]))
    shutil.rmtree(folder / _CADDY_CERTIFICATES)
    job = _caddy_job(servers, folder, names)
    return _counted(meter.run(job), folder, job.until_pattern, len(names))


def _caddy_job(servers: Servers, folder: Path, names: Sequence[str]) -> Job:
    issuer = {
        "module": "acme",
        "ca": servers.directory_url,
        "email": _EMAIL,
        "trusted_roots_pem_files": [servers.ca_bundle],
        "challenges": {"tls-alpn": {"disabled": True}},
    }
    site = {"match": [{"host": list(names)}], "terminal": True}
    http = {
        "http_port": servers.challenge_port,
        "servers": {"all": {"listen": ["127.0.0.1:0"], "routes": [site]}},
    }
    configuration = {
        "admin": {"disabled": True},
        "storage": {"module": "file_system", "root": str(folder / "storage")},
        "apps": {
            "http": http,
            "tls": {"automation": {"policies": [{"subjects": list(names), "issuers": [issuer]}]}},
        },
    }
    (folder / "caddy.json").write_text(json.dumps(configuration))
    return Job(
        [["caddy", "run", "--config", str(folder / "caddy.json")]],
        str(folder),
        environment(folder),
        log=str(folder / "log"),
        until_pattern=f"{_CADDY_CERTIFICATES}/*/*/*.crt",
        until_count=len(names),
    )


def _counted(cost: Cost, folder: Path, pattern: str, wanted: int) -> Cost:
    found = len(list(folder.glob(pattern)))
    if found != wanted:
        raise Failed(f"wanted {wanted} certificates, found {found}; its log is {folder / 'log'}")
    return cost


CERTBOT = Competitor("certbot in a loop", "certbot", _certbot)
LEGO = Competitor("lego in a loop", "lego", _lego)
DEHYDRATED = Competitor("dehydrated, its own batch", "dehydrated", _dehydrated)
CADDY = Competitor("Caddy, automatic HTTPS", "caddy", _caddy)
