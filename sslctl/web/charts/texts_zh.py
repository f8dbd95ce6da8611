"""The texts of the charts, in simplified Chinese."""
# ruff: noqa: RUF001 - the full-width punctuation of Chinese

from __future__ import annotations

from sslctl.rules.reasons import Status
from sslctl.web.charts.texts import ChartTexts

CHINESE = ChartTexts(
    day=lambda day: f"{day.month}月{day.day}日",
    month=lambda day: f"{day.year}年" if day.month == 1 else f"{day.month}月",
    full_day=lambda day: f"{day.year}年{day.month}月{day.day}日",
    show_table="以表格显示数据",
    day_column="日期",
    only_days_with="未列出的日期数量为零。",
    summary="{first}至{last}：共 {total:,} 个，单日最多 {most:,} 个（{day}）",
    expiries="证书到期数量",
    no_expiries="{first}至{last}没有证书到期。",
    source_c4="C4",
    source_text="文本",
    orders="CA 订单数量",
    no_orders="{first}至{last}没有订单。",
    new="新域名",
    new_failed="新域名（失败）",
    renewals="续期",
    renewals_failed="续期（失败）",
    limit="CA 对新域名的限制：每日 {limit:,} 个",
    limit_above="CA 对新域名的限制：每日 {limit:,} 个，超出图表范围",
    statuses="各状态的域名数量",
    no_statuses="{first}至{last}没有数据。每日首次 tick 会记录数据。",
    status_summary="{first}至{last}。每行有各自的刻度，从 0 到该行最大值。空缺表示当日没有执行 tick。",
    at_most="最多 {most:,}",
    status={
        Status.SUCCESS: "正常",
        Status.PENDING: "处理中",
        Status.FAILURE: "失败",
        Status.DISCARD: "已失效",
        Status.EXPIRED: "已过期",
        Status.EMERGENCY: "紧急",
    },
)
