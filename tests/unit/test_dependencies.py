"""What is imported is declared in pyproject.toml, and what is declared is imported."""

from __future__ import annotations

import ast
import re
import sys
import tomllib
from pathlib import Path

from sslctl.issuer.certbot import versions

ROOT = Path(__file__).resolve().parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
EXTRAS = PROJECT["optional-dependencies"]

# Packages whose name differs from that of the module.
MODULES = {
    "axe-playwright-python": "axe_playwright_python",
    "dnspython": "dns",
    "pytest-xdist": "xdist",
    "python-dateutil": "dateutil",
    "pyyaml": "yaml",
}
# Programs, and stubs for mypy: used, and never imported.
TOOLS = {"import-linter", "mypy", "ruff"}
STUBS = "types-"
# The one folder under sslctl/ that may import the packages of each extra.
EXTRA_FOLDERS = {
    "sandbox": "sandbox",
    "metrics": "metrics",
    "notify": "notify",
    "postgres": "store/postgres",
    "web": "web",
}


def declared(*requirement_lists: list[str]) -> set[str]:
    """Return the modules that `requirement_lists` bring, without tools, stubs and sslctl itself."""
    packages = {
        re.split(r"[^\w.-]", requirement)[0]
        for requirements in requirement_lists
        for requirement in requirements
    }
    return {
        MODULES.get(package, package)
        for package in packages - TOOLS - {"sslctl"}
        if not package.startswith(STUBS)
    }


def imported(*folders: str, without: tuple[str, ...] = ()) -> set[str]:
    """Return the third-party modules that Python files below `folders` import; `without` names subfolders to skip."""
    skipped = [ROOT / folder for folder in without]
    found: set[str] = set()
    for folder in folders:
        for path in (ROOT / folder).rglob("*.py"):
            if not any(path.is_relative_to(each) for each in skipped):
                found |= _imports_of(path)
    ours = {"sslctl", "tests", *(path.stem for path in (ROOT / "docs").glob("*.py"))}
    return found - sys.stdlib_module_names - ours - {"_typeshed"}


def _imports_of(path: Path) -> set[str]:
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            found.add(node.module.partition(".")[0])
    return found


def test_certbot_and_acme_are_capped_at_the_tested_major_version() -> None:
    wanted = f">={'.'.join(map(str, versions.LOWEST))},<{versions.NEWEST[0] + 1}"
    for package in ("acme", "certbot"):
        assert f"{package}{wanted}" in PROJECT["dependencies"]


def test_installed_certbot_and_acme_are_within_the_tested_versions() -> None:
    """Where this fails the tests run with a version that `versions` does not name: name it if they pass."""
    assert versions.find_untested() == ""


def test_runtime_dependencies_are_the_packages_that_sslctl_imports() -> None:
    extra_folders = tuple(f"sslctl/{folder}" for folder in EXTRA_FOLDERS.values())
    runtime = declared(PROJECT["dependencies"])
    assert imported("sslctl", without=extra_folders) == runtime


def test_each_extra_of_sslctl_is_imported_in_its_own_folder_alone() -> None:
    runtime = declared(PROJECT["dependencies"])
    for extra, folder in EXTRA_FOLDERS.items():
        assert imported(f"sslctl/{folder}") - runtime == declared(EXTRAS[extra]) - runtime, extra


def test_packages_of_the_test_and_bench_extras_are_those_that_the_tests_import() -> None:
    shipped = declared(PROJECT["dependencies"], *(EXTRAS[extra] for extra in EXTRA_FOLDERS))
    assert imported("tests", "docs") - shipped == declared(EXTRAS["test"], EXTRAS["bench"]) - shipped


def test_every_runtime_dependency_and_every_extra_is_pinned_for_development() -> None:
    pins = {
        line.partition("==")[0].lower()
        for line in (ROOT / ".ci" / "constraints.txt").read_text().splitlines()
        if "==" in line
    }
    requirements = [*PROJECT["dependencies"], *(each for extra in EXTRAS.values() for each in extra)]
    names = {re.split(r"[^\w.-]", requirement)[0].lower() for requirement in requirements} - {"sslctl"}
    assert names <= pins
