"""A third party checks a licence without network and account: five lines of `verifiers`, the rest is reading files.

Run it on what `make demo` leaves behind, or on files of your own with the same names:

    python examples/verify_offline.py [var/demo] [--status status-list-after.jwt]

Exit status: 0 valid, 1 invalid, 2 undetermined. `elicence-verify` does the same, and more, from the command line.
"""

import argparse
import datetime as dt
import sys
from pathlib import Path

from verifiers import NotVerified, Policy, Verdict, open_status_list, open_trust_list, verify


def check(folder: Path, status_file: str, at: dt.datetime) -> Verdict:
    """Return the verdict on the licence in `folder` at the time `at`."""

    def read(name: str) -> str:
        return (folder / name).read_text("utf-8").strip()

    root = read("root.txt")  # 64 hex digits, from a source you trust: a poster, a contract, not this service
    trust = open_trust_list(read("trust-list.jwt"), root_fingerprint=root, at=at)
    status = [open_status_list(read(status_file), trust)]
    receipt = (folder / "receipt.tlog-proof").read_text("utf-8")
    try:
        return verify(
            read("licence.sdjwt"), trust=trust, status=status, receipt=receipt, at=at, policy=Policy(root=root)
        ).verdict
    except NotVerified as refused:
        return refused.verdict


def main() -> int:
    """Check the licence of a folder as of now."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0] if __doc__ else None)
    parser.add_argument("folder", type=Path, nargs="?", default=Path("var/demo"))
    parser.add_argument("--status", default="status-list-before.jwt")
    options = parser.parse_args()
    verdict = check(options.folder, options.status, dt.datetime.now(dt.UTC))
    print(verdict.outcome)
    for finding in verdict.findings:
        print(f"  {finding.reason} {finding.detail}")
    for name, value in (verdict.licence or {}).items():
        print(f"  {name}: {value}")
    return {"valid": 0, "invalid": 1, "undetermined": 2}[verdict.outcome]


if __name__ == "__main__":
    sys.exit(main())
