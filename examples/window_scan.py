"""A window scans one code, printed or on a phone, for one matter, and shows what the matter needs.

Run it against `make serve`, with the text of a code as your scanner types it, or `-` to read it from standard input:

    python examples/window_scan.py 'HTTPS://127.0.0.1:8000/V#2KCE…' --purpose 核验

Exit status: 0 valid, 1 invalid, 2 cannot tell, 3 refused.
"""

import argparse
import secrets
import sys
from pathlib import Path
from typing import Any

from service_account import BASE, CLIENTS, Account, Refused, example_account

CLERK = "示例窗口员"
FOOD_MATTER = "EXAMPLE-SX-0131003"
STATUS = {"valid": 0, "invalid": 1, "undetermined": 2}


def scan(account: Account, code: str, matter: str, purpose: str) -> dict[str, Any]:
    """Scan a code once. A dynamic code can be scanned only once, so each scan has a fresh key."""
    asked = {"code": code.strip(), "matter": matter, "purpose": purpose}
    return dict(account.post("/v1/scans", asked, operator=CLERK, key=secrets.token_urlsafe(12)))


def show(seen: dict[str, Any]) -> None:
    """Print what a clerk has to see: the outcome, why, and the fields, licence by licence."""
    print(f"{seen['outcome']} ({seen['means']})")
    for each in seen["licences"]:
        verdict = each["verdict"]
        for reason in verdict["reasons"]:
            print(f"  {reason['code']}: {reason['title']}")
        for name, value in (verdict["licence"] or {}).items():
            print(f"  {name}: {value}")
    if seen["credit"] is not None:
        print(f"  credit: {seen['credit']['outcome']}")


def main() -> int:
    """Scan the code on the command line."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0] if __doc__ else None)
    parser.add_argument("code")
    parser.add_argument("--matter", default=FOOD_MATTER)
    parser.add_argument("--purpose", default="示例核验")
    parser.add_argument("--base", default=BASE)
    parser.add_argument("--clients", type=Path, default=CLIENTS)
    options = parser.parse_args()
    code = sys.stdin.read() if options.code == "-" else options.code
    with example_account("market-window", options.base, options.clients) as account:
        try:
            seen = scan(account, code, options.matter, options.purpose)
        except Refused as refused:
            print(refused)
            return 3
    show(seen)
    return STATUS[seen["outcome"]]


if __name__ == "__main__":
    sys.exit(main())
