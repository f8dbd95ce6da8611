"""The kinds of events in a history, and the steps of a pass, in Chinese. Their details stay as they were recorded."""

from __future__ import annotations

KINDS = {
    "added": "已添加",
    "adopted": "已接管",
    "assigned": "负责人",
    "changed": "已更改",
    "claim broken": "已解除占用",
    "consent": "同意替换",
    "customer": "客户",
    "deleted": "已删除",
    "forced": "强制替换",
    "foreign": "C4 上有其他证书",
    "found": "检查结果",
    "issued": "已签发",
    "kept on C4": "保留在 C4",
    "key destroyed": "私钥已销毁",
    "key downloaded": "私钥已下载",
    "not installed": "未安装",
    "not serving": "未生效",
    "note": "备注",
    "nothing installed": "没有已安装的证书",
    "ordered": "已下单",
    "pasted": "已粘贴",
    "put back": "已恢复",
    "removed": "已移除",
    "replacing": "正在替换",
    "revoked": "已吊销",
    "serving": "已生效",
    "snoozed": "暂停提醒",
    "suspected": "疑似",
    "suspicion ended": "疑似解除",
    "taken up again": "重新启用",
    "unconfirmed": "未确认",
    "uploaded": "已上传",
    "warned": "警告",
    "warning ended": "警告解除",
}

STEPS = {
    "checking DNS": "检查 DNS",
    "collecting the open order": "取回未完成的订单",
    "ordering a certificate": "申请证书",
    "querying C4": "查询 C4",
    "reading back from C4": "从 C4 读回",
    "uploading to C4": "上传到 C4",
}
