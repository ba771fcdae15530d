"""What `elicence keys` says when it cannot do something: one line in Chinese and English, and an exit code."""

from dataclasses import dataclass

from keys import errors

EXIT_REFUSED = 1
EXIT_UNUSABLE = 3

# In the order of looking: a subclass stands before its base. Exit 3: the store or file could not be used at all.
_ROWS: tuple[tuple[type[Exception], str, int], ...] = (
    (errors.StoreLocked, "密钥库未解锁", EXIT_UNUSABLE),
    (errors.WrongPassword, "口令不对", EXIT_UNUSABLE),
    (errors.StoreDamaged, "密钥库已损坏或被改动", EXIT_UNUSABLE),
    (errors.BadPermissions, "密钥库的权限不安全", EXIT_UNUSABLE),
    (errors.AlreadyExists, "已经存在", EXIT_REFUSED),
    (errors.UnknownKey, "没有这把密钥", EXIT_REFUSED),
    (errors.RetiredKey, "密钥已停用", EXIT_REFUSED),
    (errors.KeyStoreError, "密钥库无法使用", EXIT_UNUSABLE),
    (errors.BadCertificate, "证书或证书请求不可用", EXIT_REFUSED),
    (errors.BadKey, "密钥或算法不可用", EXIT_REFUSED),
    (errors.BadSignature, "签名不符", EXIT_REFUSED),
    (UnicodeDecodeError, "文件不是文本", EXIT_UNUSABLE),
    (OSError, "文件无法读写", EXIT_UNUSABLE),
)


@dataclass(frozen=True, slots=True)
class KeyRefusal:
    """One refusal: a stable code for programs, a line in each language, and the exit code."""

    code: str
    zh: str
    en: str
    exit_code: int


def refusal(error: Exception) -> KeyRefusal:
    """The refusal to print for `error`; an error of another family is a fault of ours and is raised again."""
    for kind, zh, exit_code in _ROWS:
        if isinstance(error, kind):
            en = f"{error.strerror}: {error.filename}" if isinstance(error, OSError) else str(error)
            return KeyRefusal(kind.__name__, zh, en, exit_code)
    raise error
