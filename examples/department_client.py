"""A department's business system: issue one licence, issue many, take one back.

Run it against `make serve`:

    python examples/department_client.py [--base http://127.0.0.1:8000] [--clients var/serve/clients.json] [--run 1]

Run it twice with the same `--run`: it says the same and issues nothing twice, because every call carries a key of the
department's own, and every row of the batch its own reference.
"""

import argparse
from pathlib import Path
from typing import Any

from service_account import BASE, CLIENTS, Account, example_account

OFFICER = "示例经办员"
FOOD_LICENCE = "11100000MB0341032Y902"
COMPANY = {"kind": "organisation", "name": "示例食品有限公司", "id_type": "001", "id": "91610000MA0000015K"}


def food_licence(run: int, shop: int) -> dict[str, Any]:
    """Return the request for the licence of one shop; all of it is invented."""
    return {
        "type": FOOD_LICENCE,
        "holder": COMPANY,
        "number": f"JY1{run:06d}{shop:07d}",
        "fields": {
            "legal_representative": "示例甲",
            "residence": "示例省示例市示例路 1 号",
            "premises": f"示例省示例市示例路 {shop} 号",
            "business_form": "食品销售经营者",
            "items": ["预包装食品销售"],
        },
        "valid_from": "2026-11-02",
        "valid_until": "2031-11-01",
    }


def issue_one(account: Account, run: int) -> dict[str, Any]:
    """Issue one licence and wait for the proof that it is in the log."""
    answer = account.post(
        "/v1/licences?wait=receipt", food_licence(run, 1), operator=OFFICER, key=f"department-{run}-shop-1"
    )
    return dict(answer)


def issue_many(account: Account, run: int, shops: range) -> list[dict[str, Any]]:
    """Issue a batch; a bad row comes back as an error row, the others are issued."""
    rows = [{"client_ref": f"department-{run}-shop-{shop}", **food_licence(run, shop)} for shop in shops]
    return account.post_rows("/v1/licences/batch", rows, operator=OFFICER)


def take_back(account: Account, licence: str) -> dict[str, Any]:
    """Withdraw a licence (撤回): the verdict turns at once, the status list within seconds."""
    act = {
        "act": "withdraw",
        "authority": "示例省市场监督管理局",
        "articles": ["行政许可法第八条第二款"],
        "document_no": "示市监撤回〔2026〕1号",
        "decided_at": "2026-11-20",
        "served_at": "2026-11-20",
        "effective_from": "2026-11-20",
        "reason": "客观情况发生重大变化（示例）",
    }
    return dict(account.post(f"/v1/licences/{licence}/acts", act, operator=OFFICER, key=f"withdraw-{licence}"))


def main() -> None:
    """Issue one, issue three, take the first back."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0] if __doc__ else None)
    parser.add_argument("--base", default=BASE)
    parser.add_argument("--clients", type=Path, default=CLIENTS)
    parser.add_argument("--run", type=int, default=1, help="another number issues other licences")
    options = parser.parse_args()
    with example_account("market-business", options.base, options.clients) as account:
        first = issue_one(account, options.run)
        print(f"issued {first['identifier']} as entry {first['entry']}")
        for row in issue_many(account, options.run, range(2, 5)):
            print(f"row {row['client_ref']}: {row.get('identifier') or row['problem']['title']}")
        act = take_back(account, first["id"])
        print(f"withdrawn: entry {act['entry']}")


if __name__ == "__main__":
    main()
