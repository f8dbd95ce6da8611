"""Notices of a certificate that is renewed late, again and again."""

from __future__ import annotations

from datetime import timedelta

from sslctl.issuer import IssueError
from sslctl.rules.reasons import Code
from tests.support.cdn import Cdn
from tests.support.notifying import NotifyingCdn

NAME, OTHER = "short.example.com", "text.example.org"


def test_first_notice_of_an_expiry_comes_in_each_cycle_although_another_domain_stays_in_trouble(
    cdn: Cdn,
) -> None:
    notifying = NotifyingCdn(cdn)
    notifying.issuer.lifetime = timedelta(hours=160)
    for name in (NAME, OTHER):
        notifying.add_domain(name)
    assert notifying.sslctl("add", NAME).exit_code == 0
    text = notifying.paste(notifying.text_pair(OTHER, days=29.5))
    assert notifying.sslctl("add", OTHER, *text).exit_code == 0
    notifying.tick()
    for cycle in (1, 2):
        notifying.issuer.refusals += [IssueError(Code.CA_REFUSED, "no")] * 500
        for _ in range(22):
            notifying.tick(hours=4)
        assert notifying.titles()[cycle:] == ["2 domains expire, the first in 3 days"]
        notifying.issuer.refusals.clear()
        for _ in range(6):
            notifying.tick(hours=4)
        assert notifying.titles()[cycle:] == ["2 domains expire, the first in 3 days"]
        assert notifying.installed(NAME)
