"""The examples for GitHub Actions and GitLab CI, and the commands of docs/ci.md: run by sh against a real sandbox."""

from __future__ import annotations

import json
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

from sslctl.errors import Exit
from tests.support.sandbox import RunningSandbox, sandbox_up

ROOT = Path(__file__).parents[3]
EXAMPLES = ("github", "gitlab")
SHOP, ELSEWHERE = "shop.example.test", "elsewhere.example.test"

pytestmark = pytest.mark.pebble


def github() -> tuple[list[str], str, Mapping[str, str]]:
    """Return the shell, the script and the variables of the example for GitHub."""
    (job,) = read("github-actions.yml")["jobs"].values()
    (step,) = job["steps"]
    # "{0}" is the file with the script, as the runner replaces it.
    return step["shell"].split()[:-1], step["run"], step["env"]


def gitlab() -> tuple[list[str], str, Mapping[str, str]]:
    """Return the same of the example for GitLab, whose runner sets the variables itself."""
    (job,) = read("gitlab-ci.yml").values()
    return ["sh", "-e"], "\n".join(job["script"]), {"DOMAIN": "DOMAIN", "C4_TOKEN": "C4_TOKEN"}


def read(name: str) -> Any:
    """Return the content of an example."""
    return yaml.safe_load((ROOT / "contrib" / "ci" / name).read_text())


class Runner:
    """A machine that runs jobs; its configuration names no file with C4's token that can be used.

    In place of sslctl its `PATH` has a program that notes the arguments and the mode of the token's file, and runs sslctl.
    """

    def __init__(self, sandbox: RunningSandbox, folder: Path) -> None:
        self._sandbox = sandbox
        self.temporary = folder / "runner"
        self.temporary.mkdir()
        self.log = folder / "log"
        programs = folder / "programs"
        programs.mkdir()
        # The name of the configuration stays the same.
        self._token_file = sandbox.folder / "c4-token"
        self.token = self._token_file.read_text().strip()
        program = programs / "sslctl"
        program.write_text(
            "#!/bin/sh\n"
            f'{{ stat -c %a "$SSLCTL_C4_TOKEN_FILE"; echo "${{C4_TOKEN-none}}"; echo "$*"; }} > {shlex.quote(str(self.log))}\n'
            f'exec {shlex.quote(sys.executable)} -m sslctl "$@"\n'
        )
        program.chmod(0o755)
        self._path = f"{programs}:{sandbox.environment['PATH']}"

    def run(self, example: str, domain: str, token: str | None = None) -> subprocess.CompletedProcess[str]:
        """Run the job of an example for `domain`."""
        shell, script, variables = github() if example == "github" else gitlab()
        secrets = {"DOMAIN": domain, "C4_TOKEN": self.token if token is None else token}
        assert set(variables) == set(secrets)
        return self.run_script(shell, script, secrets)

    def run_script(
        self, shell: list[str], script: str, variables: Mapping[str, str]
    ) -> subprocess.CompletedProcess[str]:
        """Run `script` with `shell`, from a file as a runner does."""
        path = self.temporary.parent / "script"
        path.write_text(script)
        here = {"PATH": self._path, "RUNNER_TEMP": str(self.temporary), "TMPDIR": str(self.temporary)}
        self._token_file.rename(self._token_file.with_suffix(".away"))
        try:
            return subprocess.run(
                [*shell, str(path)],
                env={**self._sandbox.environment, **here, **variables},
                capture_output=True,
                text=True,
                check=False,
                timeout=120,
            )
        finally:
            self._token_file.with_suffix(".away").rename(self._token_file)


@pytest.fixture(scope="module")
def runner(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Runner]:
    """A runner beside a sandbox."""
    folder = tmp_path_factory.mktemp("ci")
    (folder / "sandbox").mkdir()
    with sandbox_up(folder / "sandbox") as sandbox:
        sandbox.do("domain", SHOP)
        sandbox.do("domain", ELSEWHERE, "--points-at", "parking.elsewhere.test")
        yield Runner(sandbox, folder)


@pytest.mark.parametrize("example", EXAMPLES)
def test_job_ends_with_0_if_the_certificate_is_on_the_edge_and_leaves_no_token(
    runner: Runner, example: str
) -> None:
    result = runner.run(example, SHOP)
    assert result.returncode == Exit.OK, result.stdout + result.stderr
    assert f"{SHOP}: Success" in result.stdout
    assert result.stdout.endswith("The certificate is on the edge.\n")
    mode, kept, arguments = runner.log.read_text().splitlines()
    assert (mode, kept, arguments) == ("600", "none", f"add --wait 10m -- {SHOP}")
    assert list(runner.temporary.iterdir()) == []


@pytest.mark.parametrize("example", EXAMPLES)
@pytest.mark.parametrize(
    ("domain", "token", "code", "printed"),
    [
        (ELSEWHERE, None, Exit.FAILURE, "next (customer): The customer must point the CNAME at the CDN."),
        ("gone.example.org", None, Exit.DISCARD, "C4_UNKNOWN_DOMAIN"),
        ("other.example.test", "wrong", Exit.PENDING, "C4_TOKEN_REFUSED"),
        ("other.example.test", "", Exit.UNUSABLE, "error:"),
        ("-x", None, Exit.USAGE, "error:"),
        ("$(touch injected)", None, Exit.USAGE, "error:"),
    ],
)
def test_job_fails_with_a_reason_and_leaves_no_token(
    runner: Runner, example: str, domain: str, token: str | None, code: Exit, printed: str
) -> None:
    result = runner.run(example, domain, token)
    output = result.stdout + result.stderr
    assert result.returncode == code, output
    assert printed in " ".join(output.replace("\n| ", "\n").split())
    assert runner.token not in output
    assert list(runner.temporary.iterdir()) == []
    assert not list(Path.cwd().glob("injected"))


def test_job_of_github_passes_no_command_to_the_runner_but_its_own(runner: Runner) -> None:
    result = runner.run("github", ELSEWHERE)
    commands = [line for line in result.stdout.splitlines() if line.lstrip().startswith("::")]
    assert commands == [
        "::error::Somebody must act. The line that begins with next says who, and what to do."
    ]


def test_token_and_domain_are_in_no_command_line_that_the_runner_makes() -> None:
    for _, script, variables in (github(), gitlab()):
        assert "${{" not in script
        assert set(variables) == {"DOMAIN", "C4_TOKEN"}


def test_job_ends_later_than_the_wait() -> None:
    (job,) = read("github-actions.yml")["jobs"].values()
    assert job["timeout-minutes"] == 20
    assert read("gitlab-ci.yml")["add-domain"]["timeout"] == "20 minutes"
    for _, script, _ in (github(), gitlab()):
        assert "--wait 10m" in script


def test_commands_of_the_documentation_run_one_after_another(runner: Runner) -> None:
    blocks = re.findall(
        r"^```sh\n(.*?)^```$", (ROOT / "docs" / "ci.md").read_text(), re.MULTILINE | re.DOTALL
    )
    assert len(blocks) == 4
    script = "".join(blocks) + 'cat "$directory/result.json"\nrm -r "$directory"\nexit "$code"\n'
    result = runner.run_script(["sh", "-e"], script, {"DOMAIN": SHOP, "C4_TOKEN": runner.token})
    assert result.returncode == Exit.OK, result.stdout + result.stderr
    printed, _, document = result.stdout.partition("{")
    assert printed.endswith(f"{SHOP} Success None\n")
    (row,) = json.loads("{" + document)["domains"]
    assert row["status"] == "Success"


def test_reading_the_json_of_the_documentation_prints_the_error_or_the_reason(runner: Runner) -> None:
    blocks = re.findall(
        r"^```sh\n(.*?)^```$", (ROOT / "docs" / "ci.md").read_text(), re.MULTILINE | re.DOTALL
    )
    script = blocks[0] + blocks[-1] + 'rm -r "$directory"\nexit "$code"\n'
    for domain, code, printed in (
        (ELSEWHERE, Exit.FAILURE, f"{ELSEWHERE} Failure ('CNAME_ELSEWHERE', 'customer', "),
        ("a b", Exit.USAGE, "BAD_INPUT "),
    ):
        result = runner.run_script(["sh", "-e"], script, {"DOMAIN": domain, "C4_TOKEN": runner.token})
        assert result.returncode == code, result.stdout + result.stderr
        assert result.stdout.startswith(printed)


def test_documentation_explains_every_exit_code_that_add_can_have() -> None:
    explained = {
        int(code) for code in re.findall(r"^\| (\d+) \|", (ROOT / "docs" / "ci.md").read_text(), re.MULTILINE)
    }
    assert explained == set(Exit) - {Exit.BUG, Exit.NOT_MANAGED}
