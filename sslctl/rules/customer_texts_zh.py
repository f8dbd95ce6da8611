"""The texts for customers in simplified Chinese, with full-width punctuation and a space around Latin words and numbers."""
# ruff: noqa: RUF001 - the full-width punctuation of Chinese

from __future__ import annotations

from sslctl.rules.customer_texts import CustomerText, Phrases
from sslctl.rules.reasons import Code

TEXTS = {
    Code.CNAME_MISSING: CustomerText(
        "域名的 DNS 没有指向我们 CDN 的记录，因此我们无法签发或续期证书。",
        "请按以下内容设置 DNS 记录。",
    ),
    Code.CNAME_ELSEWHERE: CustomerText(
        "域名的 DNS 指向了其他地址，而不是我们的 CDN，因此我们无法签发或续期证书。",
        "请按以下内容修改 DNS 记录。",
    ),
    Code.NXDOMAIN: CustomerText(
        "域名在 DNS 中不存在，因此我们无法签发或续期证书。",
        "请按以下内容添加 DNS 记录。",
    ),
    Code.AAAA_ELSEWHERE: CustomerText(
        "域名的 DNS 中有不属于我们 CDN 的 IPv6 地址（AAAA 记录）。证书颁发机构会优先使用 IPv6，因此我们无法签发或续期证书。",
        "请按以下内容修改或删除 AAAA 记录。",
    ),
    Code.CAA_FORBIDS: CustomerText(
        "域名的 CAA 记录不允许我们使用的证书颁发机构签发证书。",
        "请按以下内容修改 CAA 记录。",
    ),
    Code.DNSSEC_BOGUS: CustomerText(
        "域名的 DNSSEC 签名无效，证书颁发机构因此拒绝使用其 DNS 记录，我们无法签发或续期证书。",
        "请联系您的 DNS 服务商修复签名；如果您不再使用 DNSSEC，请在域名注册商处删除 DS 记录。",
    ),
    Code.PORTS_NOT_ENABLED: CustomerText(
        "域名在我们的 CDN 上没有同时启用 80 端口和 443 端口，因此我们无法签发或续期证书。",
        "请在 CDN 的设置中同时启用这两个端口。",
    ),
    Code.DNS_UNANSWERED: CustomerText(
        "域名的 DNS 服务器没有给出可用的应答，因此我们无法签发或续期证书。",
        "请联系您的 DNS 服务商检查并修复 DNS 服务器。",
    ),
    Code.TEXT_EXPIRES: CustomerText(
        "您提供的证书即将到期，我们无法代您续期。",
        "请按之前的方式提供新的证书和私钥，请勿通过电子邮件发送私钥。如果您希望改用由我们免费签发并自动续期的证书，请告诉我们。",
    ),
    Code.DEPARTED: CustomerText(
        "域名的 DNS 已有一周以上没有指向我们的 CDN，因此我们无法续期证书。",
        "如果您要继续使用我们的 CDN，请按以下内容设置 DNS 记录；如果您已决定不再使用，请告诉我们，我们会移除该域名。",
    ),
    Code.CUTOVER_LATE: CustomerText(
        "证书已在我们的 CDN 上准备就绪，但域名的 DNS 仍指向您原来的主机。",
        "当您要切换到我们的 CDN 时，请按以下内容设置 DNS 记录；如果您不再打算切换，请告诉我们，我们会移除该域名。",
    ),
    Code.ADDRESS_UNANSWERED: CustomerText(
        "域名的 DNS 服务器对 IPv4 和 IPv6 这两种地址查询中的一种没有给出可用的应答。证书目前不受影响。",
        "请联系您的 DNS 服务商检查并修复 DNS 服务器。",
    ),
}

PHRASES = Phrases(
    subject="{domain} 的 HTTPS 证书需要您处理",
    subject_of_many="您有 {number} 个域名的 HTTPS 证书需要处理",
    greeting="您好！",
    intro="{domain} 的 HTTPS 证书需要您协助处理。",
    intro_of_many="您有 {number} 个域名的 HTTPS 证书需要协助处理。",
    between="",
    readable="{readable}（{domain}）",
    time="新加坡时间 {sgt}（UTC {utc}）",
    before_check="请在{deadline}之前完成：这是证书到期前的最后一次自动检查，证书将于{expiry}到期。",
    before_expiry="请在{expiry}之前完成：证书届时到期，此后浏览器会向访问者显示警告。",
    urgent="请尽快完成，并在完成后告诉我们：证书将于{expiry}到期，早于我们的下一次自动检查。",
    expired="请尽快完成：我们 CDN 上的证书已于{expiry}到期。",
    no_certificate="在完成之前，我们的 CDN 上没有可用的证书。",
    unreached="目前，访问者无法到达我们的 CDN，因此看到的不是我们的证书。",
    partly_unreached="目前，部分访问者无法到达我们的 CDN，因此看到的不是我们的证书。",
    type="类型：",
    name="名称：",
    current="当前值：“{}”",
    value="记录值：",
    added_value="需添加的值：",
    removed_value="需删除的值：“{}”",
    no_value="记录值：无，请删除该记录",
    unknown_value="记录值：请参照我们此前提供的说明",
    unknown_record="DNS 记录：请参照我们此前提供的说明",
    checks_at="我们最迟会在{at}自动重新检查，之后每天检查一次，其余步骤都会自动完成。",
    checks_daily="我们每天都会自动重新检查，其余步骤都会自动完成。",
    no_answer_needed="您无需回复。{checks}",
    thanks="谢谢！",
)
