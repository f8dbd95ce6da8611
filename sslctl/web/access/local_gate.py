"""The gate of a server on a loopback address: whoever can read its terminal has all roles."""

from __future__ import annotations

from collections.abc import Callable
from urllib.parse import urlencode

from flask import Flask, redirect, render_template, request, url_for
from werkzeug.wrappers import Response

from sslctl.web.access import Person
from sslctl.web.access.guard import Address, Guard, count
from sslctl.web.access.limits import Limited, Limiter
from sslctl.web.access.sessions import LONGEST_SECONDS, Session, Sessions


class LocalGate(Guard):
    """A gate that a browser passes with a one-time token, and then with the cookie of a session.

    `host` and `port` are those on which the server listens, a loopback address. `person` is who began the server. `monotonic`
    is a clock in seconds.
    """

    refusal_of_unknown = "refusal.no_session"

    def __init__(self, host: str, port: int, person: Person, monotonic: Callable[[], float]) -> None:
        names = {host, "localhost", "127.0.0.1", "::1"}
        hosts = frozenset(each for name in names for each in Address.of("http", name, port).hosts)
        super().__init__(
            Address("http", hosts),
            Limiter(monotonic),
            open_endpoints=("static", "enter", "begin"),
        )
        self._origin = f"http://{f'[{host}]' if ':' in host else host}:{port}"
        self._person = person
        self._sessions = Sessions(monotonic)
        # Cookies do not depend on the port, so two servers on one machine need two names.
        self._cookie = f"sslctl-{port}"

    def make_url(self) -> str:
        """Return a URL with which one session can begin in the next 10 minutes. Earlier ones are void."""
        return f"{self._origin}/enter?{urlencode({'token': self._sessions.make_token()})}"

    def install(self, site: Flask) -> None:
        """Guard `site`, and add the views with which a session begins and ends."""
        super().install(site)
        site.add_url_rule("/enter", "enter", self._show_enter, methods=["GET"])
        site.add_url_rule("/enter", "begin", self._enter, methods=["POST"])
        site.add_url_rule("/leave", "leave", self._leave, methods=["POST"])

    def find_session(self) -> Session | None:
        """Return the session of the cookie."""
        secret = request.cookies.get(self._cookie)
        return self._sessions.find(secret) if secret else None

    def _show_enter(self) -> Response | str:
        if self.find_session() is not None:
            # Somebody went back to the link after entering.
            return redirect("/", 303)
        # A terminal or a mail program may fetch a URL to show what is behind it, so only the button uses the token.
        return render_template("enter.html", token=request.args.get("token", ""), is_void=False)

    def _enter(self) -> Response | tuple[str, int]:
        secret = self._sessions.begin(request.form.get("token", ""), self._person)
        if secret is None:
            # Only failures are counted, so that another user of this machine cannot keep the right person out.
            count(Limited.ENTER)
            return render_template("enter.html", token="", is_void=True), 403
        response = redirect("/", 303)
        response.set_cookie(
            self._cookie, secret, max_age=LONGEST_SECONDS, httponly=True, samesite="Strict", path="/"
        )
        return response

    def _leave(self) -> Response:
        self._sessions.end(request.cookies.get(self._cookie, ""))
        response = redirect(url_for("enter"), 303)
        response.delete_cookie(self._cookie, httponly=True, samesite="Strict", path="/")
        return response
