"""Whether a certificate may replace another, for any two expiry dates."""

from __future__ import annotations

from datetime import timedelta

from hypothesis import given
from hypothesis import strategies as st

from sslctl.rules.replacement import TRUST_LOST, find_loss
from tests.unit.rules.builders import NOW, leaf

_LEFT = st.timedeltas(timedelta(days=-400), timedelta(days=400))
_ALIVE = st.timedeltas(timedelta(seconds=1), timedelta(days=400))


@given(
    new=_LEFT, old=st.timedeltas(timedelta(days=-400), timedelta(0)), is_due=st.booleans(), lost=st.booleans()
)
def test_expired_certificate_is_no_loss(*, new: timedelta, old: timedelta, is_due: bool, lost: bool) -> None:
    assert find_loss(leaf(left=new), leaf(left=old), NOW, may_end_sooner=is_due, is_trust_lost=lost) == ""


@given(new=_LEFT, old=_ALIVE, is_due=st.booleans())
def test_loss_of_trust_is_always_reported(*, new: timedelta, old: timedelta, is_due: bool) -> None:
    loss = find_loss(leaf(left=new), leaf(left=old), NOW, may_end_sooner=is_due, is_trust_lost=True)
    assert TRUST_LOST in loss


@given(old=_ALIVE, more=st.timedeltas(timedelta(0), timedelta(days=400)), is_due=st.booleans())
def test_certificate_that_lasts_as_long_is_never_worse(
    *, old: timedelta, more: timedelta, is_due: bool
) -> None:
    new = leaf(left=old + more)
    assert find_loss(new, leaf(left=old), NOW, may_end_sooner=is_due, is_trust_lost=False) == ""


@given(new=_LEFT, old=_ALIVE)
def test_expiry_is_a_loss_unless_due_with_half_the_time(*, new: timedelta, old: timedelta) -> None:
    early = find_loss(leaf(left=new), leaf(left=old), NOW, may_end_sooner=False, is_trust_lost=False)
    due = find_loss(leaf(left=new), leaf(left=old), NOW, may_end_sooner=True, is_trust_lost=False)
    assert bool(early) is (new < old)
    assert bool(due) is (new < old / 2)
    assert not due or "it expires" in due


@given(first=_ALIVE, second=_ALIVE)
def test_two_certificates_never_replace_each_other_in_turn_before_they_are_due(
    *, first: timedelta, second: timedelta
) -> None:
    one, other = leaf(left=first), leaf(left=second)
    losses = [
        find_loss(new, old, NOW, may_end_sooner=False, is_trust_lost=False)
        for new, old in ((one, other), (other, one))
    ]
    assert first == second or sum(map(bool, losses)) == 1
