"""The commands in a message work, and show what the message only counts."""

from __future__ import annotations

import re
import shlex

from sslctl.issuer import IssueError
from sslctl.rules.reasons import Code
from sslctl.sandbox.c4.faults import Fault, Operation
from tests.support.cdn import Cdn
from tests.support.notifying import NotifyingCdn

UNTAKEN = [f"e{number:02}.example.com" for number in range(11)]
EXPIRING = [f"x{number:02}.example.com" for number in range(11)]


def listed(notifying: NotifyingCdn, command: str) -> set[str]:
    program, *arguments = shlex.split(command)
    result = notifying.sslctl(*arguments, "--json")
    assert (program, result.exit_code) == ("sslctl", 0)
    return {domain["domain"] for domain in result.json["domains"]}


def test_commands_of_a_message_list_every_domain_that_it_counts(cdn: Cdn) -> None:
    notifying = NotifyingCdn(cdn)
    for name in (*UNTAKEN, *EXPIRING):
        notifying.add_domain(name)
    assert notifying.sslctl("add", *EXPIRING[:6]).exit_code == 0
    notifying.tick(days=1)
    assert notifying.sslctl("add", *EXPIRING[6:]).exit_code == 0
    notifying.tick(days=79)
    notifying.c4.set_faults(Fault(kind=Operation.UPLOAD, status=400))
    assert notifying.sslctl("add", *UNTAKEN).exit_code == 7
    notifying.issuer.refusals += [IssueError(Code.CA_UNAVAILABLE, "answered 503")] * 50
    notifying.tick(days=4)
    message, _ = notifying.notifier.sent[-1]
    assert message.title == "sslctl: 11 domains in Emergency, 11 domains expire, the first in 6 days"
    commands = message.body.rpartition("All of them, the soonest expiry first: ")[2].split("; ")
    found = [listed(notifying, command) for command in commands]
    assert set.union(*found) >= {*UNTAKEN, *EXPIRING}
    assert found[0] == set(UNTAKEN)
    views = re.findall(r"^sslctl view (\S+)$", message.body, re.MULTILINE)
    assert len(views) == 2
    for name in views:
        assert notifying.sslctl("view", name).exit_code == 0
