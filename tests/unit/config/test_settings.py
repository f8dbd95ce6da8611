"""The configuration: which file is used, what each key accepts, and errors that name the place of a mistake."""

from __future__ import annotations

import os
import re
from ipaddress import IPv4Network, IPv6Network
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sslctl.config.acme import AcmeSection
from sslctl.config.settings import _READ, Config, keys, load
from sslctl.config.state import StateSection
from sslctl.errors import ConfigError, Exit

# The published sample: section, key, value in TOML, value in the program.
SAMPLE: list[tuple[str, str, str, object]] = [
    ("state", "dir", '"/var/lib/sslctl"', Path("/var/lib/sslctl")),
    ("state", "key_file", '""', None),
    ("state", "url", '""', ""),
    ("state", "url_file", '""', None),
    ("state", "max_connections", "8", 8),
    (
        "acme",
        "directory_url",
        '"https://acme-v02.api.letsencrypt.org/directory"',
        "https://acme-v02.api.letsencrypt.org/directory",
    ),
    ("acme", "email", '""', ""),
    ("acme", "ca_bundle", '""', None),
    ("acme", "mode", '"webroot"', "webroot"),
    ("acme", "webroot", '"/var/www/acme"', Path("/var/www/acme")),
    ("acme", "http01_port", "80", 80),
    ("acme", "http01_address", '""', ""),
    ("acme", "key_type", '"ecdsa"', "ecdsa"),
    ("acme", "profile", '""', ""),
    ("acme", "workers", "48", 48),
    ("acme", "timeout_seconds", "180", 180.0),
    ("c4", "base_url", '""', ""),
    ("c4", "token_file", '""', None),
    ("c4", "ca_bundle", '""', None),
    ("c4", "timeout_seconds", "20", 20.0),
    ("cdn", "cname_suffixes", '["cdn.example.net"]', ("cdn.example.net",)),
    ("cdn", "ip_ranges", "[]", ()),
    ("dns", "resolvers", "[]", ()),
    ("limits", "orders", '""', ""),
    ("limits", "certificates", '""', ""),
    ("limits", "duplicates", '""', ""),
    ("limits", "failures", '""', ""),
    ("renewal", "before_days", "7", 7.0),
    ("renewal", "ari", '"incident"', "incident"),
]


@pytest.fixture
def nowhere(tmp_path: Path) -> Path:
    """A path where no file exists."""
    return tmp_path / "nowhere" / "config.toml"


def _write(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


def _load_text(tmp_path: Path, text: str, environ: dict[str, str] | None = None) -> Config:
    return load(_write(tmp_path / "config.toml", text), environ or {})


def _value(loaded: Config, section: str, key: str) -> object:
    return getattr(getattr(loaded, section), key)


def _refusal(tmp_path: Path, text: str, environ: dict[str, str] | None = None) -> ConfigError:
    with pytest.raises(ConfigError) as caught:
        _load_text(tmp_path, text, environ)
    assert caught.value.exit_code is Exit.UNUSABLE
    assert caught.value.message.isprintable()
    return caught.value


# Defaults


def test_load_without_a_file_returns_the_published_defaults(nowhere: Path) -> None:
    loaded = load(None, {}, system_file=nowhere)
    assert loaded == Config()
    assert loaded.path is None
    for section, key, _, value in SAMPLE:
        assert _value(loaded, section, key) == value, (section, key)


def test_load_of_the_published_sample_returns_the_defaults(tmp_path: Path, nowhere: Path) -> None:
    text = "".join(f"{section}.{key} = {value}\n" for section, key, value, _ in SAMPLE)
    loaded = _load_text(tmp_path, text)
    for section, key, _ in keys():
        assert _value(loaded, section, key) == _value(load(None, {}, system_file=nowhere), section, key)


def test_every_default_is_listed_and_accepted_by_its_reader() -> None:
    listed = {f"{section}.{key}": default for section, key, default in keys()}
    assert set(listed) == set(_READ), "a field without a reader, or a reader without a field"
    assert {f"{section}.{key}" for section, key, *_ in SAMPLE} <= set(listed)
    for dotted, default in listed.items():
        raw: object = list(default) if isinstance(default, tuple) else default
        raw = "" if raw is None else str(raw) if isinstance(raw, Path) else raw
        assert _READ[dotted](raw) == default, dotted


def test_state_section_derives_paths_from_the_state_folder() -> None:
    state = StateSection(dir=Path("/srv/state"))
    assert state.master_key_path == Path("/srv/state/master.key")
    assert state.database_path == Path("/srv/state/sslctl.db")
    assert state.acme_dir == Path("/srv/state/acme")
    assert StateSection(key_file=Path("/etc/key")).master_key_path == Path("/etc/key")


# Which file is used


def test_load_uses_only_the_first_file_in_the_search_order(tmp_path: Path) -> None:
    places = {
        name: _write(tmp_path / name / "sslctl" / "config.toml", f'acme.email = "{name}@example.com"\n')
        for name in ("argument", "variable", "xdg", "home/.config", "system")
    }
    environ = {
        "SSLCTL_CONFIG": str(places["variable"]),
        "XDG_CONFIG_HOME": str(tmp_path / "xdg"),
        "HOME": str(tmp_path / "home"),
    }
    argument: Path | None = places["argument"]

    def loaded_from() -> Path | None:
        return load(argument, environ, system_file=places["system"]).path

    assert loaded_from() == places["argument"]
    argument = None
    assert loaded_from() == places["variable"]
    environ["SSLCTL_CONFIG"] = ""
    assert loaded_from() == places["xdg"]
    environ["XDG_CONFIG_HOME"] = "relative/does/not/count"
    assert loaded_from() == places["home/.config"]
    del environ["XDG_CONFIG_HOME"]
    assert loaded_from() == places["home/.config"]
    environ["XDG_CONFIG_HOME"] = str(tmp_path / "empty")
    assert loaded_from() == places["system"], "XDG_CONFIG_HOME stands instead of ~/.config"
    places["system"].unlink()
    assert loaded_from() is None


@pytest.mark.parametrize("by", ["argument", "variable"])
def test_load_raises_config_error_when_the_named_file_is_missing(
    tmp_path: Path, nowhere: Path, by: str
) -> None:
    system = _write(tmp_path / "system.toml", "")
    for path, why in ((nowhere, "no such file or directory"), (tmp_path, "is a directory")):
        environ = {"SSLCTL_CONFIG": str(path)} if by == "variable" else {}
        with pytest.raises(ConfigError) as caught:
            load(None if by == "variable" else path, environ, system_file=system)
        assert caught.value.message == f"the configuration {path} cannot be read: {why}"


def test_load_raises_config_error_when_an_existing_file_cannot_be_read(tmp_path: Path) -> None:
    """To continue without the file would mean to run with another configuration."""
    (tmp_path / "sslctl" / "config.toml").mkdir(parents=True)
    with pytest.raises(ConfigError, match="cannot be read: is a directory"):
        load(None, {"XDG_CONFIG_HOME": str(tmp_path)}, system_file=tmp_path / "none")


def test_load_makes_the_path_of_the_file_absolute(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _write(tmp_path / "here.toml", "")
    monkeypatch.chdir(tmp_path)
    assert load(Path("here.toml"), {}).path == tmp_path / "here.toml"


# The environment


@pytest.mark.parametrize(
    ("variable", "text", "value"),
    [
        ("SSLCTL_STATE_DIR", "/srv/x", Path("/srv/x")),
        ("SSLCTL_STATE_KEY_FILE", "", None),
        ("SSLCTL_ACME_HTTP01_PORT", "5002", 5002),
        ("SSLCTL_ACME_TIMEOUT_SECONDS", "0.5", 0.5),
        ("SSLCTL_C4_BASE_URL", "https://c4.example.net/api", "https://c4.example.net/api"),
        ("SSLCTL_CDN_CNAME_SUFFIXES", " a.example , .B.Example.", ("a.example", "b.example")),
        ("SSLCTL_CDN_CNAME_SUFFIXES", "", ()),
        ("SSLCTL_CDN_PROBE_PORTS", "False", False),
        ("SSLCTL_CDN_PROBE_CHALLENGE", "0", False),
        ("SSLCTL_CDN_PROBE_PRIVATE", "1", True),
        ("SSLCTL_DNS_RESOLVERS", "127.0.0.1:8053,::1", (("127.0.0.1", 8053), ("::1", 53))),
        ("SSLCTL_RENEWAL_BEFORE_DAYS", "30", 30.0),
    ],
    ids=str,
)
def test_environment_variable_overrides_the_file(
    tmp_path: Path, variable: str, text: str, value: object
) -> None:
    section, _, key = variable.removeprefix("SSLCTL_").lower().partition("_")
    file = (
        'state.dir = "/file"\nstate.key_file = "/file/key"\nacme.http01_port = 81\ncdn.probe_ports = true\n'
    )
    loaded = _load_text(
        tmp_path, file, {variable: text, "SSLCTL_CONFIG": "/not/a/key", "SSLCTL_OTHER_X": "1"}
    )
    assert _value(loaded, section, key) == value
    if variable != "SSLCTL_STATE_DIR":
        assert loaded.state.dir == Path("/file"), "the rest of the file still applies"


@pytest.mark.parametrize(
    ("variable", "text", "message"),
    [
        ("SSLCTL_ACME_WORKERS", "many", "acme.workers must be an integer from 1 to 64"),
        ("SSLCTL_ACME_WORKERS", "", "acme.workers must be an integer from 1 to 64"),
        ("SSLCTL_ACME_WORKERS", "²", "acme.workers must be an integer from 1 to 64"),
        ("SSLCTL_ACME_WORKERS", "9" * 5000, "acme.workers must be an integer from 1 to 64"),
        ("SSLCTL_CDN_PROBE_PORTS", "perhaps", "cdn.probe_ports must be true or false"),
        (
            "SSLCTL_C4_TIMEOUT_SECONDS",
            "nan",
            "c4.timeout_seconds must be a number of seconds, more than 0 and at most 86400",
        ),
        ("SSLCTL_STATE_DIR", "\udcff", "state.dir must be an absolute path"),
        ("SSLCTL_C4_TOKEN", "s3cret", "c4.token is not a key"),
        ("SSLCTL_ACME_EMIAL", "a@example.com", "acme.emial is not a key"),
    ],
)
def test_config_error_names_the_variable_with_the_mistake(
    tmp_path: Path, variable: str, text: str, message: str
) -> None:
    refusal = _refusal(tmp_path, "", {variable: text})
    assert refusal.message == f"{variable}: {message}"
    assert "s3cret" not in f"{refusal.message} {refusal.hint}"


def test_config_error_suggests_a_key_for_a_misspelt_variable(tmp_path: Path) -> None:
    assert _refusal(tmp_path, "", {"SSLCTL_C4_TOKEN": "x"}).hint == "did you mean c4.token_file?"


# Mistakes in the file


@pytest.mark.parametrize(
    ("text", "line", "message", "hint"),
    [
        (
            '[acme]\n\n# a comment\nemial = "a@b.example"\n',
            4,
            "acme.emial is not a key",
            "did you mean acme.email?",
        ),
        ("[c4]\nbefore_days = 3\n", 2, "c4.before_days is not a key", "did you mean renewal.before_days?"),
        ("[c4]\nzzz = 3\n", 2, "c4.zzz is not a key", None),
        ("\n[amce]\n", 2, "[amce] is not a section", "did you mean [acme]?"),
        ("workers = 3\n", 1, "[workers] is not a section", "did you mean acme.workers?"),
        ("acme = 5\n", 1, "acme must be a section, [acme]", None),
        ("[[acme]]\nworkers = 1\n", 1, "acme must be a section, [acme]", None),
        (
            '[state]\ndir = "/x"\n[acme]\nworkers = "3"\n',
            4,
            "acme.workers must be an integer from 1 to 64",
            None,
        ),
        (
            "dns.timeout_seconds = 1\nacme.workers = 0\n",
            2,
            "acme.workers must be an integer from 1 to 64",
            None,
        ),
        ('acme = { email = "", workers = 65 }\n', 1, "acme.workers must be an integer from 1 to 64", None),
        (
            '[cdn]\ncname_suffixes = [\n  "a.example",\n  "b c",\n]\nip_ranges = []\n',
            2,
            "cdn.cname_suffixes must be domain names, not “b c”",
            None,
        ),
        (
            '[acme]\nprofile = """\n\nemail = 1\n"""\nemail = 2\n[c4]\nx = 1\n',
            2,
            "acme.profile must be letters, digits, '.', '_' and '-', or empty",
            None,
        ),
        ("[acme]\r\n\r\nmode = 'x'\r\n", 3, "acme.mode must be one of webroot, standalone, stateless", None),
        ("[acme.email]\nx = 1\n", 1, "acme.email must be a string", None),
        ('"a\\u001b[31mb" = 1', 1, "[a b] is not a section", None),
    ],
)
def test_config_error_names_the_line_of_the_mistake(
    tmp_path: Path, text: str, line: int, message: str, hint: str | None
) -> None:
    refusal = _refusal(tmp_path, text)
    assert refusal.message == f"{tmp_path}/config.toml, line {line}: {message}"
    assert refusal.hint == hint


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"[acme]\nworkers =\n", "Invalid value (at line 2, column 10)"),
        (b"a = 1\na = 2\n", "Cannot overwrite a value (at line 2, column 6)"),
        (b"\xff", "not text in UTF-8 or UTF-16"),
        (b"a = " + b"9" * 5000, ""),
        (b"a = " + b"[" * 100_000, ""),
    ],
)
def test_load_raises_config_error_when_the_file_is_not_toml(
    tmp_path: Path, data: bytes, message: str
) -> None:
    path = tmp_path / "config.toml"
    path.write_bytes(data)
    with pytest.raises(ConfigError) as caught:
        load(path, {})
    assert caught.value.message.startswith(f"{path}: not TOML: {message}")


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-16-le"])
def test_configuration_with_a_byte_order_mark_is_read_and_its_lines_are_counted(
    tmp_path: Path, encoding: str
) -> None:
    path = tmp_path / "config.toml"
    path.write_bytes("[acme]\r\nworkers = 7\r\n".encode(encoding))
    assert load(path, {}).acme.workers == 7
    path.write_bytes("[acme]\r\nworkers = 7\r\nwokers = 8".encode(encoding))
    with pytest.raises(ConfigError, match=r"config\.toml, line 3: "):
        load(path, {})


# What each key accepts


def _accepts(tmp_path: Path, dotted: str, toml: str) -> Any:
    section, _, key = dotted.partition(".")
    return _value(_load_text(tmp_path, f"{dotted} = {toml}\n"), section, key)


@pytest.mark.parametrize(
    ("dotted", "toml", "value"),
    [
        ("acme.directory_url", '"https://ca.example/dir?x=1"', "https://ca.example/dir?x=1"),
        ("acme.directory_url", '"http://127.0.0.1:14000/dir"', "http://127.0.0.1:14000/dir"),
        ("acme.directory_url", '"http://127.9.9.9/dir"', "http://127.9.9.9/dir"),
        ("c4.base_url", '"http://localhost:8000"', "http://localhost:8000"),
        ("c4.base_url", '"http://[::1]:8000/"', "http://[::1]:8000/"),
        ("state.url", '"postgresql:///sslctl"', "postgresql:///sslctl"),
        (
            "state.url",
            '"postgres://me@a,b:6432/x?sslmode=require"',
            "postgres://me@a,b:6432/x?sslmode=require",
        ),
        ("acme.email", '"ops+tls@cdn.example.net"', "ops+tls@cdn.example.net"),
        ("acme.mode", '"standalone"', "standalone"),
        ("acme.key_type", '"rsa"', "rsa"),
        ("acme.http01_address", '"2001:DB8::1"', "2001:db8::1"),
        ("acme.profile", '"tlsserver"', "tlsserver"),
        ("acme.workers", "64", 64),
        ("acme.http01_port", "65535", 65535),
        ("acme.caa_identities", '["letsencrypt.org", "ca.example"]', ("letsencrypt.org", "ca.example")),
        ("c4.activation_seconds", "0", 0.0),
        ("c4.timeout_seconds", "0.25", 0.25),
        (
            "cdn.cname_suffixes",
            '[".cdn.example.net", "Edge.Example.Org."]',
            ("cdn.example.net", "edge.example.org"),
        ),
        (
            "cdn.ip_ranges",
            '["192.0.2.0/24", "2001:db8::/32", "198.51.100.7"]',
            (IPv4Network("192.0.2.0/24"), IPv6Network("2001:db8::/32"), IPv4Network("198.51.100.7/32")),
        ),
        (
            "dns.resolvers",
            '["127.0.0.1", "127.0.0.1:8053", "::1", "[::1]", "[2001:db8::5]:5353"]',
            (("127.0.0.1", 53), ("127.0.0.1", 8053), ("::1", 53), ("::1", 53), ("2001:db8::5", 5353)),
        ),
        ("limits.orders", '"300/3h"', "300/3h"),
        ("limits.certificates", '"none"', "none"),
        ("limits.failures", '"60/90m"', "60/90m"),
        ("renewal.before_days", "0.5", 0.5),
        ("safety.max_suspicions_percent", "0", 0),
        ("safety.max_suspicions_percent", "100", 100),
        ("history.keep_days", "0", 0),
        ("history.keep_days", "180", 180),
        ("renewal.max_per_day", "0", 0),
        ("renewal.max_per_day", "10000000", 10_000_000),
        ("renewal.ari", '"follow"', "follow"),
        ("renewal.ari", '"off"', "off"),
        ("c4.token_file", '"/etc/sslctl/token"', Path("/etc/sslctl/token")),
    ],
    ids=str,
)
def test_load_accepts_a_valid_value(tmp_path: Path, dotted: str, toml: str, value: object) -> None:
    assert _accepts(tmp_path, dotted, toml) == value


def test_load_expands_the_home_folder_in_a_path(tmp_path: Path) -> None:
    assert _accepts(tmp_path, "state.dir", '"~/state"') == Path("~/state").expanduser()
    assert _accepts(tmp_path, "c4.token_file", '"~/token"') == Path("~/token").expanduser()


URLS = ("acme.directory_url", "c4.base_url")
PORTS = ("acme.http01_port", "cdn.http_port", "cdn.https_port")
SPANS = ("acme.timeout_seconds", "c4.timeout_seconds", "dns.timeout_seconds")
PATHS = ("state.dir", "state.key_file", "acme.webroot", "acme.ca_bundle", "c4.token_file", "c4.ca_bundle")
REFUSED: list[tuple[tuple[str, ...], list[str]]] = [
    (
        URLS,
        [
            '"http://c4.example.net"',
            '"http://10.0.0.1/"',
            '"http://127.0.0.1.example.net/"',
            '"http://localhost.example.net/"',
            '"http://127.1/"',
            '"ftp://localhost/"',
            '"//c4.example.net"',
            '"c4.example.net"',
            '"https://"',
            '"https://:443/"',
            '"https://someone:secret@c4.example.net/"',
            '"https://secret@c4.example.net/"',
            '"http://localhost@c4.example.net/"',
            '"https://c4.example.net:0/"',
            '"https://c4.example.net:99999/"',
            '"https://[::1/"',
            '"https://c4.example.net/#part"',
            '"https://c4.example.net/ x"',
            '"https://c4.example.net\\\\@other.example/"',
            '"https://c4.example.net/\\n"',
            '"https://bücher.example/"',
            "443",
            "[]",
        ],
    ),
    (
        ("state.url",),
        [
            '"db.example.net"',
            '"mysql://db.example.net/sslctl"',
            '"postgresql://sslctl:secret@db.example.net/sslctl"',
            '"postgresql://sslctl:@db.example.net/sslctl"',
            '"postgresql://db.example.net/sslctl?password=secret"',
            '"postgresql://db.example.net/sslctl?%70assword=secret"',
            '"postgresql://db.example.net/sslctl?sslmode=require&sslpassword=secret"',
            '"postgresql://[::1/sslctl"',
            '"postgresql://db.example.net/ secret"',
            '"postgresql://db.example.net/secret\\n"',
            "5432",
        ],
    ),
    (("acme.directory_url",), ['""']),
    (("c4.base_url",), ['"https://c4.example.net/?tenant=1"']),
    (PORTS, ["0", "-1", "65536", "80.0", "true", '"80"', "inf"]),
    (("acme.workers",), ["0", "65", "-3", "true", "1.5", '"4"', "[4]"]),
    (SPANS, ["0", "-1", "-0.5", "nan", "inf", "-inf", "86401", "true", '"5"', "1" + "0" * 400]),
    (("c4.activation_seconds",), ["-1", "nan", "inf", "false"]),
    (
        ("limits.orders", "limits.certificates", "limits.duplicates", "limits.failures"),
        ["300", '"300"', '"0/3h"', '"300/3 h"', '"300/0h"', '"300/400d"', '"-1/3h"', '"3/2w"', "true", '"٣/3h"'],
    ),
    (("renewal.before_days",), ["0", "-7", "nan", "inf", "366", "true", '"7"']),
    (("safety.max_suspicions_percent",), ["-0.1", "101", "nan", "true", '"1"']),
    (("history.keep_days",), ["1", "179", "-1", "36501", "200.5", "true", '"200"']),
    (("acme.mode",), ['"Webroot"', '""', "1", '["webroot"]', "{}"]),
    (("acme.key_type",), ['"ec"', '"ed25519"']),
    (("renewal.max_per_day",), ["-1", "10000001", "2.5", "true", '"7"']),
    (("renewal.ari",), ['"on"', "true", "false"]),
    (("acme.email",), ['"ops"', '"ops@localhost"', '"a@b.example, c@d.example"', '"-x@b.example"', '"a b@c.example"', "1"]),
    (("acme.profile",), ['"-x"', '"two words"', '"a\\n"', "1"]),
    (("acme.http01_address",), ['"localhost"', '"127.0.0.1:80"', "127", '"0"']),
    (("cdn.probe_ports", "cdn.probe_challenge", "cdn.probe_private"), ["0", "1", '"true"', "[]"]),
    (PATHS, ['"relative/path"', '"./x"', '"~nosuchuserhere/x"', '"/a\\u0000b"', '"/a\\nb"', "1", "[]"]),
    (("state.dir", "acme.webroot"), ['""']),
    (
        ("cdn.cname_suffixes", "acme.caa_identities"),
        ['"cdn.example.net"', "[1]", '[""]', '["net"]', '["*.example.net"]', '["a..b"]', '["-a.example"]', '["a_b.example"]', '["bücher.example"]', f'["{"a" * 64}.example"]', '["..a.example"]'],
    ),
    (("cdn.ip_ranges",), ['"192.0.2.0/24"', '["192.0.2.1/24"]', '["192.0.2.0/33"]', "[3221225985]", '["x"]', '[""]']),
    (
        ("dns.resolvers",),
        ['"127.0.0.1"', '["dns.example"]', '["dns.example:53"]', '["127.0.0.1:0"]', '["127.0.0.1:65536"]', '["127.0.0.1:"]', '["[::1"]', '["[::1]x"]', '[""]', "[53]"],
    ),
]  # fmt: skip


@pytest.mark.parametrize(
    ("dotted", "toml"), [(dotted, toml) for many, bad in REFUSED for dotted in many for toml in bad]
)
def test_config_error_names_the_key_with_an_invalid_value(tmp_path: Path, dotted: str, toml: str) -> None:
    refusal = _refusal(tmp_path, f"\n{dotted} = {toml}\n")
    assert refusal.message.startswith(f"{tmp_path}/config.toml, line 2: {dotted} must ")
    assert "secret" not in refusal.message


def test_two_databases_are_refused(tmp_path: Path) -> None:
    refusal = _refusal(tmp_path, 'state.url = "postgresql:///x"\nstate.url_file = "/etc/sslctl/url"\n')
    assert refusal.message == "state.url and state.url_file are both set"


def test_config_error_does_not_repeat_a_secret_pasted_in_the_wrong_place(tmp_path: Path) -> None:
    for text in ('c4.token_file = "s3cret"', 'c4.token = "s3cret"', 'c4.base_url = "s3cret"'):
        refusal = _refusal(tmp_path, text)
        assert "s3cret" not in f"{refusal.message} {refusal.hint}"


# Random input

_VALUES = st.one_of(
    st.sampled_from(
        ["1", "-1", "0.5", "nan", "true", "[]", "[[1]]", "{a = 1}", "2026-01-01", "[\n'::1',\n]", '"""\n"""']
    ),
    st.sampled_from(
        ['"https://[::1"', '"http://localhost"', '"~/x"', '"~root"', '"a.b@c.de"', '["::/0"]', '["[::1]:0"]']
    ),
    st.text(st.characters(exclude_characters='"\\', exclude_categories=["C"]), max_size=10).map(
        '"{}"'.format
    ),
)
_DOTTED = [f"{section}.{key}" for section, key, _ in keys()]
_LINES = st.sampled_from(["[acme]", "[[dns]]", "[nothing]", "[c4.x]", "x", "= 1", "]", "# é", ""]) | st.text(
    max_size=9
)
_DOCUMENTS = st.one_of(
    st.dictionaries(st.sampled_from([*_DOTTED, "acme", "x", "c4.x.y", "dns.''"]), _VALUES, max_size=4).map(
        lambda pairs: "\n".join(f"{key} = {value}" for key, value in pairs.items())
    ),
    st.lists(_LINES, max_size=6).map("\n".join),
    st.binary(max_size=40),
)


def _message(path: Path | None, environ: dict[str, str]) -> str | None:
    """Return the message of the `ConfigError`, or None if all is accepted; any other error is raised."""
    try:
        load(path, environ, system_file=Path("/nonexistent/config.toml"))
    except ConfigError as error:
        return error.message
    return None


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(text=_DOCUMENTS)
def test_load_raises_only_config_error_for_any_file(tmp_path: Path, text: str | bytes) -> None:
    path = tmp_path / "config.toml"
    path.write_bytes(text if isinstance(text, bytes) else text.encode("utf-8", "surrogatepass"))
    message = _message(path, {})
    assert message is None or (message.isprintable() and str(path) in message)


@settings(deadline=None)
@given(
    environ=st.dictionaries(
        st.sampled_from([f"SSLCTL_{section}_{key}".upper() for section, key, _ in keys()])
        | st.text(max_size=8).map(lambda text: "SSLCTL_ACME_" + text),
        st.text(max_size=20) | st.binary(max_size=8).map(os.fsdecode),
        max_size=4,
    )
)
def test_load_raises_only_config_error_for_any_environment(environ: dict[str, str]) -> None:
    message = _message(None, environ)
    assert message is None or message.isprintable()


@pytest.mark.parametrize("key", ["urls", "ping_url", "webhook_url"])
def test_load_refuses_a_notify_secret_in_a_world_readable_file(tmp_path: Path, key: str) -> None:
    value = '["json://s3cret.test/"]' if key == "urls" else '"https://s3cret.test/"'
    file = _write(tmp_path / "config.toml", f"[notify]\nrepeat_hours = 1\n{key} = {value}\n")
    file.chmod(0o644)
    with pytest.raises(ConfigError) as caught:
        load(file, {})
    assert f"line 3: notify.{key} is a secret" in caught.value.message
    assert "s3cret" not in caught.value.message
    file.chmod(0o640)
    assert "s3cret" not in repr(load(file, {}))
    file.write_text("[notify]\nrepeat_hours = 1\n")
    file.chmod(0o644)
    given = {"SSLCTL_NOTIFY_URLS": "json://a/?to=b%2Cc, mailto://d:e@f"}
    assert load(file, given).notify.urls == ("json://a/?to=b%2Cc", "mailto://d:e@f")


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("urls", '["s3cret"]'),
        ("urls", '["json://s3cret\\u202e"]'),
        ("urls", '"json://s3cret"'),
        ("ping_url", '"http://s3cret.test/"'),
        ("ping_url", '"https://user:s3cret@a.test/"'),
        ("webhook_url", '"http://s3cret.test/"'),
        ("webhook_url", '"https://user:s3cret@a.test/"'),
        ("webhook_secret_file", '"s3cret"'),
        ("statuses", '["Success"]'),
        ("statuses", '["emergency"]'),
        ("repeat_hours", "0"),
        ("repeat_hours", "nan"),
    ],
)
def test_config_error_does_not_repeat_an_invalid_notify_value(tmp_path: Path, key: str, value: str) -> None:
    error = _refusal(tmp_path, f"[notify]\n{key} = {value}\n")
    assert f"notify.{key} must" in error.message
    assert "s3cret" not in error.message


def test_routes_are_read_in_their_order(tmp_path: Path) -> None:
    file = tmp_path / "config.toml"
    file.write_text(
        '[notify]\nurls_file = "/urls"\n[[notify.route]]\nowners = ["customer", "cdn"]\nurls_file = "/a"\n'
        '[[notify.route]]\ncustomers = ["acme"]\nurls_file = "/b"\n'
    )
    routes = load(file, {}).notify.route
    assert [(route.key, route.urls_file) for route in routes] == [
        ("owners=cdn,customer", Path("/a")), ("customers=acme", Path("/b")),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("route", "problem"),
    [
        (
            'owners = ["client"]\nurls_file = "/a"',
            "1: owners, customers or urls_file must be one of customer, cdn",
        ),
        ('owners = "customer"\nurls_file = "/a"', "must be an array of strings"),
        ('customers = [""]\nurls_file = "/a"', "must be names of customers"),
        ('owners = ["c4"]', "urls_file must be a string"),
        ('owners = ["c4"]\nurls_file = "a"', "must be an absolute path"),
        ('urls_file = "/a"', "1 must name owners or customers"),
        (
            'owners = ["c4"]\nurls_file = "/a"\nurl = "json://s3cret"',
            "1: url is not a key; the keys are owners,",
        ),
        (
            'owners = ["c4", "ca"]\nurls_file = "/a"\n[[notify.route]]\nowners = ["ca", "c4"]\nurls_file = "/b"',
            "2 names the same",
        ),
    ],
)
def test_unusable_route_is_refused_with_its_line(tmp_path: Path, route: str, problem: str) -> None:
    error = _refusal(tmp_path, f"[notify]\nrepeat_hours = 1\n[[notify.route]]\n{route}\n")
    assert "line 3: notify.route " in error.message
    assert problem in error.message
    assert "s3cret" not in error.message


def test_routes_in_the_environment_are_refused() -> None:
    with pytest.raises(
        ConfigError, match=r"SSLCTL_NOTIFY_ROUTE: notify\.route must be an array of tables in the"
    ):
        load(None, {"SSLCTL_NOTIFY_ROUTE": "customer", "HOME": "/nonexistent"})


# Several CAs


def fallback(text: str, tmp_path: Path) -> Config:
    """Load a configuration with `[[acme.fallback]]` and the lines of `text`."""
    path = tmp_path / "config.toml"
    path.write_text(f"[[acme.fallback]]\n{text}\n")
    return load(path, {})


def test_fallback_ca_has_its_own_values_and_shares_the_others(tmp_path: Path) -> None:
    config = fallback(
        'directory_url = "https://b.test/dir"\ncaa_identities = ["b.test"]\nlimits = { orders = "1/2h" }\n'
        '[[acme.fallback]]\ndirectory_url = "https://c.test/dir"\ncaa_identities = ["c.test"]\nemail = "c@c.test"\n'
        '[acme]\nemail = "a@a.test"\nprofile = "shortlived"\nmode = "standalone"',
        tmp_path,
    )
    (first, _), (second, limits), (third, none) = config.authorities
    assert [each.email for each in (first, second, third)] == ["a@a.test", "a@a.test", "c@c.test"]
    assert [each.profile for each in (first, second, third)] == ["shortlived", "", ""]
    assert {each.mode for each in (first, second, third)} == {"standalone"}
    assert second.caa_identities == ("b.test",)
    assert (str(limits.orders), none.orders) == ("1/2h", None)
    assert config.ca_urls == (AcmeSection().directory_url, "https://b.test/dir", "https://c.test/dir")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "1: directory_url is not set"),
        ('directory_url = "https://b.test/dir"', "1: caa_identities is not set"),
        ('directory_url = "http://b.test/dir"', "1: directory_url "),
        ('colour = "red"', "1: colour is not a key; the keys are directory_url, "),
        ("workers = 3", "1: workers is not a key"),
        ("limits = 3", "1: limits must be a table"),
        ('limits = { orders = "many" }', "1: limits orders must be like 300/3h"),
        ('limits = { order = "1/1h" }', "1: limits order is not a key"),
        (
            'directory_url = "https://b.test/dir"\ncaa_identities = ["b.test"]\neab_kid = "k"',
            "1: eab_kid is set, but eab_hmac_key_file is not",
        ),
        (
            f'directory_url = "{AcmeSection().directory_url}"\ncaa_identities = ["b.test"]',
            "acme.fallback: https://acme-v02.api.letsencrypt.org/directory is the first CA already",
        ),
        (
            2 * 'directory_url = "https://b.test/dir"\ncaa_identities = ["b.test"]\n[[acme.fallback]]\n',
            "2 has the directory_url of an earlier one",
        ),
    ],
)
def test_bad_fallback_ca_is_an_error_that_says_what_is_wrong(text: str, message: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=re.escape(message)):
        fallback(text, tmp_path)
