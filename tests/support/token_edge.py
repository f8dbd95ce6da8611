"""An edge over HTTP that serves the tokens of the fake CA, or something else."""

from __future__ import annotations

from tests.support.fakes import FakeIssuer
from tests.support.misbehaving import Behaviour, Misbehaving, http_head, reset, sending

PAGE = b"<html><h1>Access denied</h1></html>"


def respond(status: int, body: bytes) -> Behaviour:
    return sending(http_head(status, f"Content-Length: {len(body)}\r\n") + body)


class TokenEdge(Misbehaving):
    """An edge that serves what `issuer` publishes, or behaves as `broken` says; `broken_hosts` are the names for which it does."""

    def __init__(self, issuer: FakeIssuer) -> None:
        super().__init__(reset)
        self._issuer = issuer
        self.broken: Behaviour = respond(403, PAGE)
        self.broken_hosts: set[str] = set()

    @property
    def port(self) -> int:
        return int(self.url.rpartition(":")[2])

    def choose(self, request: bytes) -> Behaviour:
        lines = request.decode().split("\r\n")
        if lines[1].removeprefix("Host: ") in self.broken_hosts:
            return self.broken
        content = self._issuer.served.get(lines[0].split(" ")[1].rpartition("/")[2])
        return respond(404, b"") if content is None else respond(200, content.encode())
