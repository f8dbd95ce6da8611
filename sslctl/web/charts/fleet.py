"""The charts of the whole fleet: certificates that expire, orders at the CA, and domains by status, day by day."""

from __future__ import annotations

from dataclasses import replace
from datetime import date, timedelta
from typing import Protocol

from markupsafe import Markup

from sslctl.rules.customer_texts import Language
from sslctl.rules.limits import Limit
from sslctl.store.interface.figures import Figures, StatusCounts
from sslctl.web.charts import figures
from sslctl.web.charts.texts import ENGLISH
from sslctl.web.charts.texts_zh import CHINESE
from sslctl.wording import in_chinese, in_words

# With today; a certificate of 90 days that was issued today expires within them.
_LENGTH = timedelta(days=91)


class _Store(Figures, StatusCounts, Protocol):
    """What the charts are read from."""


def draw_fleet(store: _Store, orders_limit: Limit | None, today: date, language: Language) -> list[Markup]:
    """Return each chart over three months: those from `today` on for expiries, those before for the others.

    `today` is a day in Singapore, `orders_limit` how many orders for new names the CA accepts, None for any number.
    """
    first, last = today - _LENGTH, today + _LENGTH
    texts, named = (CHINESE, in_chinese) if language is Language.ZH else (ENGLISH, in_words)
    texts = replace(texts, source_c4=named(texts.source_c4))
    per_day = None if orders_limit is None else orders_limit.per_day
    return [
        figures.expiries(store.expiries(today, last), today, last, texts),
        figures.orders(store.orders(first, today), first, today, per_day, texts),
        figures.statuses(store.status_counts(first, today), first, today, texts),
    ]
