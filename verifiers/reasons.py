"""What each reason of a verdict means, in Chinese and English, and whether it makes a verdict invalid or undetermined.

The codes themselves are `verifiers.errors.Reason`, a closed table that programs may compare; the titles are for people
and may be reworded. `OUTCOMES` follows protocol 24: undetermined is what a fresher or fuller input could still settle,
everything else that is wrong is invalid.
"""

from enum import StrEnum
from types import MappingProxyType
from typing import Final

from verifiers.errors import Reason


class Note(StrEnum):
    """Something a verdict says although it decides nothing; a closed table like the reasons."""

    NOBODY_WATCHED = "witness.none"
    NOT_WITNESSED = "witness.pending"
    DETECT_ONLY = "witness.detect_only"
    CODE_WITHOUT_RECEIPT = "code.no_receipt"
    RECEIPT_WAIVED = "receipt.waived"
    IMPORTED = "licence.imported"
    STATUS_MAY_REVERT = "status.may_revert"
    BINDING_UNCHECKED = "holder.binding_unchecked"
    NAME_CUT = "code.name_cut"
    PEER_FROZEN = "peer.frozen"
    PEER_SILENT = "peer.unreachable"
    PEER_UNWATCHED = "peer.unwatched"
    WITNESSES_DECLARED = "witness.declared"
    CLAIMED_EQUIVALENCE = "equivalence.claimed"


UNDETERMINED: Final = frozenset(
    {
        Reason.ROOT_UNPINNED,
        Reason.TRUST_MISSING,
        Reason.TRUST_EXPIRED,
        Reason.TRUST_ROLLBACK,
        Reason.TRUST_CONTRADICTED,
        Reason.STATUS_MISSING,
        Reason.STATUS_STALE,
        Reason.STATUS_TIME,
        Reason.STATUS_ROLLBACK,
        Reason.RECEIPT_MISSING,
        Reason.RECEIPT_REFRESH,
        Reason.RECEIPT_GRADE,
        Reason.DYNAMIC_OFFLINE,
        Reason.CLOCK_BEHIND,
        Reason.PEER_SUSPENDED,
        Reason.PEER_LIST_MISSING,
        Reason.PEER_LIST_EXPIRED,
        Reason.PEER_LIST_ROLLBACK,
        Reason.PEER_LIST_UNLOGGED,
        Reason.PEER_FORKED,
        Reason.PEER_ROLLED_BACK,
        Reason.PEER_INCONSISTENT,
        Reason.PEER_UNREACHABLE,
        Reason.RULE_FIELD,
        Reason.KIT_ROLLBACK,
    }
)
"""Reasons that never prove anything wrong. An unknown key is one of them while the trust list is past its
`next_update`, a compromised key where no receipt can tell which side of the compromise a code is on."""

ONLINE: Final = frozenset(reason for reason in Reason if reason.value.startswith(("state.", "ledger.")))
"""Reasons that only the issuing region's own ledger can give."""

TITLES: Final = MappingProxyType(
    {
        Reason.ENCODING: ("编码不规范", "not in canonical encoding"),
        Reason.CANONICAL: ("JSON 不是规范形式", "JSON not in canonical form"),
        Reason.ENTRY: ("日志条目格式错误", "malformed log entry"),
        Reason.STATEMENT: ("部门声明格式错误", "malformed statement"),
        Reason.STATEMENT_MISMATCH: ("部门声明与条目不符", "statement belongs to another entry"),
        Reason.STATEMENT_KEY: ("声明所用密钥未知", "statement signed by an unknown key"),
        Reason.STATEMENT_SIGNATURE: ("部门声明签名无效", "bad signature on a statement"),
        Reason.RECORD: ("记录格式错误", "malformed record"),
        Reason.TILE: ("日志分片格式错误", "malformed log tile"),
        Reason.PROOF_INCLUSION: ("包含证明不成立", "inclusion proof fails"),
        Reason.PROOF_CONSISTENCY: ("一致性证明不成立", "consistency proof fails"),
        Reason.VKEY: ("日志验证密钥格式错误", "malformed verifier key"),
        Reason.NOTE: ("签名文本格式错误", "malformed signed note"),
        Reason.NOTE_SIGNATURE: ("签名文本的签名无效", "bad signature on a note"),
        Reason.NOTE_UNSIGNED: ("签名文本缺少应有签名", "a required note signature is missing"),
        Reason.CHECKPOINT: ("检查点格式错误", "malformed checkpoint"),
        Reason.CHECKPOINT_ORIGIN: ("检查点属于另一日志", "checkpoint of another log"),
        Reason.CHECKPOINT_SIGNATURE: ("检查点签名无效", "bad signature on the checkpoint"),
        Reason.CHECKPOINT_UNSIGNED: ("检查点缺少应有签名", "a required checkpoint signature is missing"),
        Reason.RECEIPT: ("回执格式错误", "malformed receipt"),
        Reason.RECEIPT_INCLUSION: ("回执不能证明条目在日志中", "the receipt does not prove the entry is in the log"),
        Reason.RECEIPT_OPENING: ("回执不属于本证照", "the receipt does not open to this licence"),
        Reason.PRESENTED: ("无法识别所出示内容", "not a licence, code or bundle"),
        Reason.TOKEN_TYPE: ("令牌类型不符", "a token of another kind"),
        Reason.LICENCE: ("证照格式错误", "malformed licence"),
        Reason.LICENCE_SIGNATURE: ("证照签名无效", "bad signature on the licence"),
        Reason.DISCLOSURE: ("披露项格式错误", "malformed disclosure"),
        Reason.DISCLOSURE_DUPLICATE: ("披露项重复", "a disclosure occurs twice"),
        Reason.DISCLOSURE_UNREFERENCED: ("披露项不属于本证照", "a disclosure that is not of this licence"),
        Reason.CODE: ("二维码内容格式错误", "malformed code"),
        Reason.CODE_SIGNATURE: ("二维码签名无效", "bad signature on the code"),
        Reason.DYNAMIC: ("动态码格式错误", "malformed dynamic code"),
        Reason.DYNAMIC_MAC: ("动态码无效", "wrong dynamic code"),
        Reason.DYNAMIC_SKEW: ("动态码时间不符（已过时或时钟不准）", "dynamic code of another time, or a wrong clock"),
        Reason.DYNAMIC_OFFLINE: ("动态码须联机核验", "a dynamic code can only be checked online"),
        Reason.BUNDLE: ("核验包格式错误", "malformed bundle"),
        Reason.BUNDLE_MISMATCH: ("核验包内容互不相符", "parts of the bundle do not belong together"),
        Reason.BUNDLE_EVENTS: ("核验包中的事件记录不成立", "an event in the bundle does not hold up"),
        Reason.ROOT_UNPINNED: ("未固定地区根证书", "no region root was pinned"),
        Reason.ROOT_MISMATCH: ("与固定的地区根证书不符", "not the pinned region root"),
        Reason.TRUST: ("信任列表格式错误", "malformed trust list"),
        Reason.TRUST_MISSING: ("缺少信任列表", "no trust list"),
        Reason.TRUST_CERTIFICATE: ("信任列表证书无效", "bad certificate on the trust list"),
        Reason.TRUST_SIGNATURE: ("信任列表签名无效", "bad signature on the trust list"),
        Reason.TRUST_EXPIRED: ("信任列表已过期", "the trust list has expired"),
        Reason.TRUST_ROLLBACK: ("信任列表比已见过的旧", "the trust list is older than one already seen"),
        Reason.TRUST_CONTRADICTED: (
            "信任列表收回了先前已确定的内容",
            "the trust list takes back what one before it had settled",
        ),
        Reason.KEY_UNKNOWN: ("签发密钥不在信任列表中", "signed with a key the trust list does not name"),
        Reason.KEY_PURPOSE: ("签发密钥用途不符", "signed with a key of another purpose"),
        Reason.KEY_CERTIFICATE: ("签发证书无效", "bad certificate of the signing key"),
        Reason.KEY_TERM: ("不在签发密钥的使用期内", "outside the signing key's term"),
        Reason.KEY_COMPROMISED: ("签发密钥已泄露", "the signing key was compromised"),
        Reason.ISSUER_MISMATCH: ("签发机构与证书不符", "issuer and certificate differ"),
        Reason.GRANT_MISSING: ("部门无权签发此类证照", "the department may not issue this type"),
        Reason.GRANT_AREA: ("部门无权在此地区签发", "the department may not issue in this area"),
        Reason.GRANT_TERM: ("签发时不在授权期内", "issued outside the term of the grant"),
        Reason.TYPE_UNKNOWN: ("证照类型未知", "unknown licence type"),
        Reason.TYPE_INTEGRITY: ("证照类型定义不符", "the type definition is another one"),
        Reason.HOLDER_BINDING: ("未能证明由持证人出示", "the holder's possession is not proven"),
        Reason.PEER_UNKNOWN: ("签发地区不在互认范围内", "issued in a region that is not recognised here"),
        Reason.PEER_SUSPENDED: ("与该地区的互认已暂停", "recognition of that region is suspended"),
        Reason.PEER_WITHDRAWN: ("与该地区的互认已终止", "recognition of that region has ended"),
        Reason.PEER_LIST_MISSING: ("缺少该地区的信任列表", "no trust list of that region"),
        Reason.PEER_LIST_EXPIRED: ("该地区的信任列表已过期", "that region's trust list has expired"),
        Reason.PEER_LIST_ROLLBACK: (
            "该地区的信任列表比已见过的旧",
            "that region's trust list is older than one already seen",
        ),
        Reason.PEER_LIST_UNLOGGED: ("该地区的信任列表未入日志", "that region's trust list is not in its log"),
        Reason.PEER_FORKED: ("该地区的日志出现分叉", "that region's log was forked"),
        Reason.PEER_ROLLED_BACK: ("该地区的日志被回退", "that region's log was rolled back"),
        Reason.PEER_INCONSISTENT: ("该地区的日志内容与其签名不符", "that region's log does not match what it signed"),
        Reason.PEER_UNREACHABLE: ("无法联系签发地区", "the issuing region cannot be reached"),
        Reason.EQUIVALENCE_MISSING: ("此类证照未获互认", "no recognition of this type of licence"),
        Reason.EQUIVALENCE_NOT_IN_FORCE: ("此类证照的互认当前不生效", "recognition of this type is not in force now"),
        Reason.RULE: ("互认规则格式错误", "malformed rule of recognition"),
        Reason.RULE_FIELD: ("互认规则所需字段未披露", "the rule of recognition needs a field that was not shown"),
        Reason.RULE_REFUSED: ("不符合互认条件", "the conditions of recognition are not met"),
        Reason.APPROVAL: ("批准书格式错误", "malformed approval"),
        Reason.APPROVAL_SIGNATURE: ("批准书签名无效", "bad signature on an approval"),
        Reason.NOTICE: ("地区间通知格式错误", "malformed notice between regions"),
        Reason.NOTICE_SIGNATURE: ("地区间通知签名无效", "bad signature on a notice between regions"),
        Reason.REGION_LIST: ("地区名录格式错误", "malformed list of regions"),
        Reason.REGION_LIST_SIGNATURE: ("地区名录签名无效", "bad signature on the list of regions"),
        Reason.REGION_LIST_ROLLBACK: ("地区名录比已见过的旧", "the list of regions is older than one already seen"),
        Reason.KIT: ("离线包格式错误", "malformed offline kit"),
        Reason.KIT_MISMATCH: ("离线包内容与清单不符", "the offline kit does not match its manifest"),
        Reason.KIT_SIGNATURE: ("离线包签名无效", "bad signature on the offline kit"),
        Reason.KIT_ROLLBACK: ("离线包比已用过的旧", "the offline kit is older than one already used"),
        Reason.WITNESS_REQUEST: ("见证请求格式错误", "malformed request to a witness"),
        Reason.WITNESS_POLICY: ("见证策略格式错误", "malformed witness policy"),
        Reason.NOT_YET_VALID: ("证照尚未生效", "not yet valid"),
        Reason.EXPIRED: ("证照已过有效期", "expired"),
        Reason.LOG_UNKNOWN: ("回执来自未知日志", "a receipt of an unknown log"),
        Reason.RECEIPT_MISSING: ("缺少回执", "no receipt"),
        Reason.RECEIPT_MISMATCH: ("日志条目与证照内容不符", "the log entry says otherwise than the licence"),
        Reason.RECEIPT_REFRESH: ("须更新回执", "a receipt at another log size is needed"),
        Reason.RECEIPT_GRADE: ("回执尚未获见证", "the receipt is not witnessed yet"),
        Reason.STATUS: ("状态列表格式错误", "malformed status list"),
        Reason.STATUS_MISSING: ("缺少状态列表", "no status list"),
        Reason.STATUS_KEY: ("状态列表不是由有权密钥签发", "a status list that the region does not name"),
        Reason.STATUS_SIGNATURE: ("状态列表签名无效", "bad signature on the status list"),
        Reason.STATUS_STALE: ("状态列表过旧", "the status list is too old"),
        Reason.STATUS_TIME: ("没有该时刻的状态列表", "no status list of that time"),
        Reason.STATUS_ROLLBACK: ("状态列表比已见过的旧", "the status list is older than one already seen"),
        Reason.STATUS_INDEX: ("状态列表中无此位置", "the status list has no such slot"),
        Reason.REVOKED: ("证照已失效（撤销、吊销、注销等）", "revoked: no longer valid, for good"),
        Reason.SUSPENDED: ("证照暂时失效", "suspended: not valid for now"),
        Reason.REFUSED: ("证照被拒绝", "refused by its issuer"),
        Reason.CLOCK_BEHIND: ("本机时钟落后", "this clock is behind"),
        Reason.LEDGER_UNKNOWN: ("本地区账本中没有此证照", "not in this region's ledger"),
        Reason.STATE_SUSPENDED: ("证照已暂扣", "suspended"),
        Reason.STATE_ANNULLED: ("证照已被撤销", "annulled"),
        Reason.STATE_PENALTY_REVOKED: ("证照已被吊销", "revoked as a penalty"),
        Reason.STATE_WITHDRAWN: ("证照已被撤回", "withdrawn"),
        Reason.STATE_CANCELLED: ("证照已注销", "cancelled"),
        Reason.STATE_EXPIRED: ("证照已到期失效", "recorded as expired"),
        Reason.STATE_TRANSFERRED: ("证照已转出", "transferred to another region"),
        Reason.STATE_SUPERSEDED: ("证照已有更新版本", "superseded by a newer version"),
        Reason.STATE_APPEALABLE: ("证照已失效，仍可申请复议或诉讼", "revoked, still open to appeal"),
    }
)
"""Title of every reason: (Chinese, English)."""

NOTE_TITLES: Final = MappingProxyType(
    {
        Note.NOBODY_WATCHED: ("日志没有见证方", "nobody watches this log: its operator could rewrite it unseen"),
        Note.NOT_WITNESSED: ("回执已公布，尚未获见证", "published, not yet witnessed"),
        Note.DETECT_ONLY: ("见证策略只能发现、不能阻止分叉", "witnesses detect a split here, they do not prevent it"),
        Note.CODE_WITHOUT_RECEIPT: ("印刷码不含日志回执", "a printed code carries no receipt"),
        Note.RECEIPT_WAIVED: ("此类证照不要求回执", "this type asks for no receipt"),
        Note.IMPORTED: ("历史证照，由其他系统签发后导入", "imported: issued elsewhere, taken over into this ledger"),
        Note.STATUS_MAY_REVERT: ("状态可能恢复", "the status may change back"),
        Note.BINDING_UNCHECKED: ("未核对持有人密钥", "the holder's key was not asked for"),
        Note.PEER_FROZEN: (
            "签发地区的日志久未更新",
            "the issuing region's log has been silent for longer than promised",
        ),
        Note.PEER_SILENT: ("暂时联系不上签发地区", "the issuing region could not be reached lately"),
        Note.PEER_UNWATCHED: ("未跟踪签发地区的日志", "nobody here follows the issuing region's log"),
        Note.WITNESSES_DECLARED: ("见证方由签发地区自行指定", "the issuing region itself named its witnesses"),
        Note.CLAIMED_EQUIVALENCE: (
            "证照自称等同其他类型，不作为依据",
            "claims to equal another type, which decides nothing",
        ),
        Note.NAME_CUT: ("姓名或名称因长度被截断", "the name was cut to fit"),
    }
)
"""Title of every note: (Chinese, English)."""


def title(code: Reason | Note, language: str) -> str:
    """The title of a reason or note in `zh`, or else in English."""
    both = NOTE_TITLES[code] if isinstance(code, Note) else TITLES[code]
    return both[0] if language == "zh" else both[1]
