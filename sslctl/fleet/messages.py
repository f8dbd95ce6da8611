"""The text of the messages to people. No message is longer than people read, or than chat services take."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from datetime import timedelta
from typing import NamedTuple

from sslctl.fleet.fleet_trouble import FleetTrouble
from sslctl.fleet.troubles import (
    ABANDONED,
    EXPIRES_SOON,
    MOST_NAMES,
    Group,
    Trouble,
    count_domains,
    most_urgent,
)  # fmt: skip
from sslctl.notify import Message, MessageKind
from sslctl.rules.reasons import Code, Owner, Status
from sslctl.rules.singapore import format_duration
from sslctl.text import clean, without_markup
from sslctl.wording import C4

LONGEST = 1900
"""The most characters of title and body together. Discord refuses a message of more than 2,000, and apprise does not cut it."""

_LONGEST_TITLE = 200
_LONGEST_FACT = 420
_MOST_FACTS = 3
_MOST_LOST = 5
_MOST_PARTS = 8
_NO_LINK = "\uff1a//"
_LONGEST_SENTENCE = 320
# How many names a message has, and how many characters of a sentence: less and less, until it is short enough.
_SIZES = ((MOST_NAMES, _LONGEST_SENTENCE), (5, _LONGEST_SENTENCE), (3, 200), (1, 120))

_RECOVERED = Message(
    MessageKind.RECOVERED,
    "sslctl: all domains have recovered",
    "None of the domains that sslctl reported needs attention any more.",
)


def compose_trouble(
    groups: Sequence[Group[Trouble]],
    fleet: Sequence[FleetTrouble] = (),
    ended: Sequence[str] = (),
    lost: Sequence[str] = (),
    *,
    all_recovered: bool = True,
) -> Message:
    """Return the message about `fleet` and `groups`, what `ended`, and the domains whose certificates C4 had `lost`.

    Without `groups`, `fleet` and `lost`, it says that all domains have recovered, or only what `ended` if not `all_recovered`.
    Its names are those of the ten most urgent domains, as far as there is room.
    """
    if not (groups or fleet or lost):
        if all_recovered:
            return _RECOVERED
        return _compose(
            MessageKind.RECOVERED, [f"over: {', '.join(ended)}"], [f"Over: {each}" for each in ended], (), ""
        )
    count: Counter[str] = Counter()
    for group in groups:
        count[group.first.heading] += group.number
    titles = [each.title for each in fleet]
    titles += [f"{C4} had lost the certificate of {count_domains(len(lost))}"] if lost else []
    titles += [f"{count_domains(count[status])} in {status}" for status in Status if count[status]]
    if count[EXPIRES_SOON]:
        left = min(group.first.urgency for group in groups if group.first.heading == EXPIRES_SOON)
        verb = "expires" if count[EXPIRES_SOON] == 1 else "expire, the first"
        titles.append(f"{count_domains(count[EXPIRES_SOON])} {verb} in {format_duration(left)}")
    facts = [each.text for each in fleet]
    facts += [_describe_lost(lost)] if lost else []
    facts += [f"Over: {each}" for each in ended]
    return _compose(MessageKind.TROUBLE, titles, facts, groups, _list_command(groups))


def _describe_lost(names: Sequence[str]) -> str:
    left = len(names) - _MOST_LOST
    more = f" and {left} more" if left > 0 else ""
    return (
        f"{Code.C4_LOST}: {C4} had lost the certificate of {', '.join(names[:_MOST_LOST])}{more}; sslctl uploads it again."
        f" Find out who removes certificates; `sslctl view {names[0]}` shows the history."
    )


class DigestFact(NamedTuple):
    """A fact that concerns many domains: what it adds to the title of a digest, and its text."""

    title: str
    text: str


def compose_digest(groups: Sequence[Group[Trouble]], facts: Sequence[DigestFact] = ()) -> Message:
    """Return the message about the new warnings in `groups`, and about `facts` that concern many domains."""
    gone = sum(group.number for group in groups if group.first.heading == ABANDONED)
    number = sum(group.number for group in groups) - gone
    titles = [f"{number} new {'warning' if number == 1 else 'warnings'}"] if number else []
    titles += [f"{count_domains(gone)} abandoned"] if gone else []
    titles += [fact.title for fact in facts]
    return _compose(
        MessageKind.DIGEST, titles, [fact.text for fact in facts], groups, "sslctl list --sort expires"
    )


def _list_command(groups: Sequence[Group[Trouble]]) -> str:
    """Return the command that lists all domains of `groups`, the soonest expiry first."""
    headings = {group.first.heading for group in groups}
    statuses = [f"--status {status}" for status in Status if status in headings]
    command = " ".join(["sslctl list --sort expires", *statuses])
    if EXPIRES_SOON not in headings:
        return command
    most = max(group.longest for group in groups if group.first.heading == EXPIRES_SOON)
    days = max(1, -(-most // timedelta(days=1)))
    expiring = f"sslctl list --sort expires --expiring-within {days}d"
    return f"{command}; {expiring}" if statuses else expiring


def _compose(
    kind: MessageKind,
    titles: Sequence[str],
    facts: Sequence[str],
    groups: Sequence[Group[Trouble]],
    command: str,
) -> Message:
    title = clean(f"sslctl: {', '.join(titles)}", _LONGEST_TITLE)
    most = min(len(groups), _MOST_PARTS)
    body = ""
    for names, sentence in _SIZES:
        for parts in range(most, min(most, 1) - 1, -1):
            body = _body(facts, groups, command, names=names, parts=parts, sentence=sentence)
            if len(title) + len(body) < LONGEST:
                return Message(kind, title, body)
    return Message(kind, title, f"{body[: LONGEST - len(title) - 2]}…")


def _body(
    facts: Sequence[str],
    groups: Sequence[Group[Trouble]],
    command: str,
    *,
    names: int,
    parts: int,
    sentence: int,
) -> str:
    blocks = [clean(each, _LONGEST_FACT) for each in facts[:_MOST_FACTS]]
    if len(facts) > _MOST_FACTS:
        blocks.append(f"And {len(facts) - _MOST_FACTS} more like these: sslctl daemon-tick prints them")
    shown, left = groups[:parts], groups[parts:]
    urgent = most_urgent(groups, names)
    if left:
        lines = (f"{each.shown}, {each.code}" for each in urgent)
        blocks.append("\n".join(["The most urgent:", *lines]))
        blocks += [_part(group, (), sentence) for group in shown]
        blocks.append(_counts(left))
    else:
        blocks += [
            _part(group, [each.shown for each in group.worst if each in urgent], sentence) for group in shown
        ]
    if left or any(group.number > 1 for group in shown):
        blocks.append(f"All of them, the soonest expiry first: {command}")
    return "\n\n".join(blocks)


def _counts(groups: Sequence[Group[Trouble]]) -> str:
    """Return the numbers of domains by reason, for groups that have no part of their own."""
    number = sum(group.number for group in groups)
    reasons = "1 more reason" if len(groups) == 1 else f"{len(groups)} more reasons"
    codes = ", ".join(f"{group.number} {group.reason}" for group in groups[:_MOST_PARTS])
    more = ", …" if len(groups) > _MOST_PARTS else ""
    return f"And {reasons}, {count_domains(number)}: {codes}{more}"


def _part(group: Group[Trouble], names: Sequence[str], sentence: int) -> str:
    first = group.first
    names = names or [first.shown]
    left = group.number - len(names)
    # The sentence quotes what servers of customers answered, which must not be a link below the title of an alert. The CA's link
    # that frees a paused name is one that the operator must open.
    is_of_ca = first.owner in (Owner.OPERATOR, Owner.CA)
    text = without_markup(first.sentence)
    quoted = clean(text if is_of_ca else text.replace("://", _NO_LINK), sentence)
    acts = "nobody needs to act" if first.owner is Owner.NOBODY else f"{first.owner} must act"
    lines = [
        f"{first.heading}, {group.reason}: {count_domains(group.number)}; {acts}",
        quoted if group.number == 1 else f"{first.name}: {quoted}",
        clean(first.next_step, _LONGEST_SENTENCE),
        ", ".join(names) + (f" and {left} more" if left else ""),
        f"sslctl view {first.name}",
    ]
    return "\n".join(clean(line, LONGEST) for line in lines)
