"""The second officer's page: what would fall, and a decision on exactly what was shown."""

import pytest
from playwright.async_api import Page

from api.cli.demo_service import DemoService
from tests.browser import desk

pytestmark = [pytest.mark.browser, pytest.mark.asyncio(loop_scope="session")]


async def opened(page: Page, service: DemoService, flag: str, officer: str = desk.SECOND) -> None:
    """Open a case on the page."""
    await page.goto(f"{service.settings.base_url}/cascade")
    await page.get_by_label("访问令牌").fill(service.client("education-supervisor").token())
    await page.get_by_label("经办人").fill(officer)
    await page.get_by_label("案件编号").fill(flag)
    await page.get_by_role("button", name="查看案件").click()
    await page.locator("#case:not([hidden]), #message:not([hidden])").first.wait_for()


async def decided(page: Page, outcome: str) -> str:
    """Fill in the decision, send it, and return how the page tells that it went."""
    await page.get_by_role("radio", name=outcome).check()
    await page.get_by_label("文书编号").fill("示教撤〔2026〕9号")
    await page.get_by_label("法律依据").fill("行政许可法第六十九条第二款")
    await page.get_by_label("我已阅读").check()
    await page.get_by_role("button", name="作出决定").click()
    await page.locator("#message[data-outcome]").wait_for()
    return await page.locator("#message").inner_text()


def verdict(service: DemoService, licence: str) -> str:
    """Return the outcome of the online verdict on a licence's printed code."""
    presented = {"presented": desk.printed_code(service, licence)}
    answer = service.http.post("/v1/verify", json=presented)
    return str(answer.raise_for_status().json()["outcome"])


async def test_a_second_officer_sees_what_would_fall_and_upholds(page: Page, service: DemoService) -> None:
    """Case, steps, every consequence with its reason; the decision carries the digest that was shown."""
    case = desk.accuse(service)
    await opened(page, service, case.flag)

    steps = await page.locator("#steps").inner_text()
    direct = await page.locator(f"tr[data-licence='{case.granted}']").inner_text()
    inherited = await page.locator(f"tr[data-licence='{case.dependant}']").inner_text()
    digest = await page.locator("#digest").inner_text()
    async with page.expect_request(lambda request: request.method == "POST") as asked:
        told = await decided(page, "认定成立")

    assert "示教告〔2026〕1号" in steps and "waiver" in steps
    assert all(word in direct for word in ("revoked", "direct", "identity", "示例省教育厅"))
    assert all(word in inherited for word in ("suspended", "inherited", "qualification", case.granted))
    assert f'"preview":"{digest}"' in ((await asked.value).post_data or "")
    assert "upheld" in told and "1" in told
    assert "upheld" in await page.locator("#facts").inner_text()
    assert [verdict(service, each) for each in (case.granted, case.dependant)] == ["invalid", "invalid"]


async def test_whoever_flagged_cannot_decide_and_a_dismissal_changes_nothing(page: Page, service: DemoService) -> None:
    """The refusal is shown in words; another officer may dismiss."""
    case = desk.accuse(service)
    await opened(page, service, case.flag, desk.FLAGGER)
    refused = await decided(page, "不予认定")

    await opened(page, service, case.flag)
    told = await decided(page, "不予认定")

    assert "未完成" in refused
    assert "dismissed" in told
    assert verdict(service, case.granted) == "valid"


async def test_a_preview_that_has_changed_decides_nothing(page: Page, service: DemoService) -> None:
    """What was issued since on the same basis was not seen, so the decision is refused and can be made anew."""
    case = desk.accuse(service)
    await opened(page, service, case.flag)
    desk.issue_diploma(service, rests_on=[{"licence": case.granted, "basis": "qualification"}])

    refused = await decided(page, "认定成立")
    await opened(page, service, case.flag)
    rows = await page.locator("#rows tr").count()
    told = await decided(page, "认定成立")

    assert "未完成" in refused
    assert (rows, "upheld" in told) == (3, True)


async def test_a_spared_licence_keeps_its_state(page: Page, service: DemoService) -> None:
    """It needs a reason, and then stands."""
    case = desk.accuse(service)
    await opened(page, service, case.flag)
    await page.get_by_label(f"spare {case.dependant}").check()

    without = await decided(page, "认定成立")
    await page.get_by_label("行政许可法第六十九条第三款").fill("撤销将对公共利益造成重大损害（示例）")
    await page.get_by_role("button", name="作出决定").click()
    await page.locator("#message[data-outcome=valid]").wait_for()

    assert "spared" in without
    assert [verdict(service, each) for each in (case.granted, case.dependant)] == ["invalid", "valid"]


async def test_somebody_held_liable_is_named_with_role_and_list_entry(page: Page, service: DemoService) -> None:
    """The service writes one credit record."""
    case = desk.accuse(service)
    await opened(page, service, case.flag)
    await page.locator("input[name=liable]").first.check()
    await page.get_by_label("身份").fill("申请人")
    await page.get_by_label("失信程度").select_option("serious")
    await page.get_by_label("清单条目").fill("行政许可法第七十九条")
    async with page.expect_response(lambda answer: answer.request.method == "POST") as answered:
        told = await decided(page, "认定成立")

    assert "upheld" in told
    assert len((await (await answered.value).json())["credit_records"]) == 1


async def test_an_unknown_case_is_refused_in_words(page: Page, service: DemoService) -> None:
    """Nothing is shown of a case that is not there."""
    await opened(page, service, "A" * 22)

    assert "未完成" in await page.locator("#message").inner_text()
    assert await page.locator("#decision").is_hidden()


async def test_nothing_is_kept_when_the_page_is_left(page: Page, service: DemoService) -> None:
    """Token, officer and case live in the page's memory only."""
    await opened(page, service, "A" * 22)
    await page.reload()

    stored = "[localStorage.length, sessionStorage.length, document.cookie, document.querySelector('#token').value]"
    assert await page.evaluate(stored) == [0, 0, "", ""]
