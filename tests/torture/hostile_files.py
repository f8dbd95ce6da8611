"""Files and folders with wrong types, modes or links, with real certbot and real Pebble."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

from tests.torture.acme_proxy import Answer, Question
from tests.torture.case import Case
from tests.torture.faulty_ca import Expectations, FaultyCa, Scene

TITLE = "Files"
TARGET = "refused or corrected, and reported; no useless order; nothing written elsewhere"

_PLACE = Path(".well-known") / "acme-challenge"


def run(folder: Path, *, small: bool) -> Iterator[Case]:
    """See `FaultClass.run`."""
    with FaultyCa(folder / "files") as ca:
        for case in _SMALL_CASES if small else _CASES:
            yield case(ca)


# The webroot


@contextmanager
def _webroot(ca: FaultyCa, name: str) -> Iterator[tuple[Scene, Path]]:
    """Yield a scene with a webroot of its own, two folders deep."""
    webroot = ca.folder / name / "srv" / "webroot"
    with ca.scene(name, webroot=str(webroot)) as scene:
        (webroot / _PLACE).mkdir(parents=True)
        for path in (webroot.parent, webroot, webroot / _PLACE.parent, webroot / _PLACE):
            path.chmod(0o755)
        before, ca.world.edge.webroot = ca.world.edge.webroot, webroot
        try:
            yield scene, webroot
        finally:
            ca.world.edge.webroot = before


def _refused_until_repaired(scene: Scene, words: str, repair: Callable[[], object]) -> list[str]:
    """Check that nothing is ordered and the finding contains `words`, and that after `repair` the next tick succeeds."""
    wanted, (name,) = Expectations(), scene.names(1)
    scene.add([name])
    finding = scene.finding(name)
    wanted.same("code", scene.code(name), "ISSUER_FAILED")
    found = "" if finding is None else finding.found
    wanted.true(f"the finding is {found!r}, wanted {words!r}", holds=words in found and words in scene.output)
    wanted.same("orders", scene.proxy.orders()[name], 0)
    wanted.wrong += scene.violations(healthy=())
    repair()
    scene.tick(minutes=1)
    return [*wanted.wrong, *scene.violations()]


def _linked_webroot(ca: FaultyCa) -> Case:
    wrong, places = [], ("srv", "srv/webroot", "srv/webroot/.well-known", f"srv/webroot/{_PLACE}")
    for number, place in enumerate(places):
        with _webroot(ca, f"linked-{number}") as (scene, _):
            path = scene.config.parent / place
            real, outside = path.with_name("real"), scene.config.parent / "outside"
            path.rename(real)
            # The target of the link is as certbot wants it.
            real.rename(outside)
            path.symlink_to(outside)

            def repair(path: Path = path, outside: Path = outside) -> None:
                path.unlink()
                outside.rename(path)

            before = set(outside.rglob("*"))
            wrong += [
                f"{place}: {each}"
                for each in _refused_until_repaired(scene, f"{path} is a symbolic link", repair)
            ]
            wrong += [f"{place}: {path} was written" for path in set(outside.rglob("*")) - before]
    return Case(
        "each part of the challenge folder's path a symbolic link",
        len(places),
        wrong,
        "refused, with its path",
    )


def _open_webroot(ca: FaultyCa) -> Case:
    places = ("srv", "srv/webroot", "srv/webroot/.well-known", f"srv/webroot/{_PLACE}")
    wrong, tries = [], [(place, mode) for place in places for mode in (0o777, 0o775)]
    for number, (place, mode) in enumerate(tries):
        with _webroot(ca, f"open-{number}") as (scene, _):
            path = scene.config.parent / place
            path.chmod(mode)
            found = _refused_until_repaired(
                scene, f"other users can change {path}", partial(path.chmod, 0o755)
            )
            wrong += [f"{place} {mode:o}: {each}" for each in found]
    return Case(
        "each part of the path writable by everybody, or by a group",
        len(tries),
        wrong,
        "refused, with the chmod that repairs it",
    )


def _in_the_way(ca: FaultyCa) -> Case:
    """Create something at the challenge file's path, between the CA's response with the token and certbot's write."""
    wrong = []
    makers: dict[str, Callable[[Path], object]] = {
        "FIFO": os.mkfifo,
        "folder": os.mkdir,
        "link": lambda path: path.symlink_to(ca.folder / "escaped"),
    }
    for kind, make in makers.items():
        with _webroot(ca, f"way-{kind.lower()}") as (scene, webroot):
            placed: list[Path] = []
            scene.proxy.altered = partial(_occupy, webroot / _PLACE, make, placed)
            wrong += [f"{kind}: {each}" for each in _waits_for_the_path(scene, placed)]
            if (ca.folder / "escaped").exists():
                wrong.append(f"{kind}: written through it")
    return Case(
        "a FIFO, a folder, a link at the challenge file's path",
        len(makers),
        wrong,
        "refused; the same order later",
    )


def _occupy(
    folder: Path, make: Callable[[Path], object], placed: list[Path], question: Question, answer: Answer
) -> Answer:
    """Create something in `folder` at the path of the first challenge's file."""
    if question.kind == "authorization" and not placed:
        for challenge in answer.json.get("challenges", ()):
            if challenge["type"] == "http-01":
                placed.append(folder / challenge["token"])
                make(placed[-1])
    return answer


def _waits_for_the_path(scene: Scene, placed: list[Path]) -> list[str]:
    wanted, (name,) = Expectations(), scene.names(1)
    scene.add([name])
    finding = scene.finding(name)
    wanted.same("code", scene.code(name), "ISSUER_FAILED")
    wanted.true(
        f"wrong finding: {finding}", holds=finding is not None and "is not a regular file" in finding.found
    )
    wanted.same("validations", scene.proxy.validations(name), 0)
    wanted.true("what was created there was removed", holds=all(map(os.path.lexists, placed)))
    for path in placed:
        path.rmdir() if path.is_dir() and not path.is_symlink() else path.unlink(missing_ok=True)
    scene.tick(minutes=1)
    wanted.same("orders", scene.proxy.orders()[name], 1)
    return [*wanted.wrong, *scene.violations()]


def _umask(ca: FaultyCa) -> Case:
    """With the most open umask the state is private, and challenge files can be read by everybody but not written."""
    with _webroot(ca, "umask") as (scene, webroot):
        (webroot / _PLACE).rmdir()
        (webroot / _PLACE.parent).rmdir()
        modes: set[int] = set()
        scene.proxy.instead = lambda question: (
            modes.update(_modes(webroot)) if question.kind == "challenge" else None
        )
        wanted, names = Expectations(), scene.names(1)
        scene.run_program("add", *names, umask=0)
        wanted.same("modes", {oct(mode) for mode in modes}, {"0o755", "0o644"})
        wrong = [*wanted.wrong, *scene.violations()]
    return Case(
        "umask 000", 1, wrong, "corrected: 0600 and 0700 in the state, 0644 and 0755 for challenge files"
    )


def _modes(webroot: Path) -> set[int]:
    return {path.stat().st_mode & 0o7777 for path in webroot.rglob("*")}


# The state


def _state(ca: FaultyCa) -> Case:
    """Damage the state of a healthy domain: sslctl must refuse it with exit code 8 and change nothing."""
    wrong = []
    damages = _damages()
    for number, (what, damage) in enumerate(damages.items()):
        with ca.scene(f"state-{number}") as scene:
            wanted, names = Expectations(), scene.names(1)
            scene.add(names)
            before = _content(scene.state)
            repair = damage(scene.state)
            asked = len(scene.proxy.asked)
            scene.clock.move(days=84)
            scene.sslctl("daemon-tick")
            wanted.same("exit code", scene.exit_code, 8)
            wanted.true(f"its path is not printed: {scene.output}", holds=str(scene.state) in scene.output)
            wanted.same("requests to the CA", len(scene.proxy.asked) - asked, 0)
            repair()
            wanted.true("the state was changed", holds=_content(scene.state) == before)
            scene.tick()
            wrong += [
                f"{what}: {each}" for each in (*wanted.wrong, *scene.violations(most_orders=lambda _name: 2))
            ]
    return Case(
        "parts of the state linked, open to others, or of a wrong type: " + ", ".join(damages),
        len(damages),
        wrong,
        "refused, exit 8",
    )


Damage = Callable[[Path], Callable[[], object]]


def _damages() -> dict[str, Damage]:
    return {
        "folder linked": _link,
        "database linked": lambda state: _link(state / "sslctl.db"),
        # Only the operator can create a link here, so it is allowed. Its target must be as private.
        "key linked to a file 644": lambda state: _link(state / "master.key", 0o644),
        "folder 777": lambda state: _chmod(state, 0o777, 0o700),
        "folder 770": lambda state: _chmod(state, 0o770, 0o700),
        "database 666": lambda state: _chmod(state / "sslctl.db", 0o666, 0o600),
        "key 644": lambda state: _chmod(state / "master.key", 0o644, 0o600),
        "key 640": lambda state: _chmod(state / "master.key", 0o640, 0o600),
        "key a FIFO": lambda state: _replace(state / "master.key", os.mkfifo),
        "database a folder": lambda state: _replace(state / "sslctl.db", os.mkdir),
        "database a FIFO": lambda state: _replace(state / "sslctl.db", os.mkfifo),
    }


def _link(path: Path, mode: int | None = None) -> Callable[[], object]:
    real, before = path.with_name(f"real-{path.name}"), path.stat().st_mode
    path.rename(real)
    path.symlink_to(real)
    if mode is not None:
        real.chmod(mode)

    def repair() -> None:
        path.unlink()
        real.rename(path)
        path.chmod(before)

    return repair


def _chmod(path: Path, mode: int, before: int) -> Callable[[], object]:
    path.chmod(mode)
    return lambda: path.chmod(before)


def _replace(path: Path, make: Callable[[Path], object]) -> Callable[[], object]:
    real = path.with_name(f"real-{path.name}")
    path.rename(real)
    make(path)

    def repair() -> None:
        path.rmdir() if path.is_dir() else path.unlink()
        real.rename(path)

    return repair


def _content(state: Path) -> dict[str, bytes]:
    return {name: (state / name).read_bytes() for name in ("sslctl.db", "master.key")}


_CASES = (_linked_webroot, _open_webroot, _in_the_way, _umask, _state)
_SMALL_CASES = (_in_the_way, _umask)
