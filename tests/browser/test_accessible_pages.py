"""What everybody needs of the four pages: a language, a title, labels, headings, contrast, a keyboard."""

import pytest
from playwright.async_api import Page

pytestmark = [pytest.mark.browser, pytest.mark.asyncio(loop_scope="session")]

PAGES = ["/V", "/C/AEBAGBAFAYDQQCIKBMGA2DQPCAIREEYUCULBO", "/scan", "/cascade"]

# Everything that can be hidden is shown first, so that it is looked at too.
AUDIT = """() => {
  const faults = [];
  for (const hidden of document.querySelectorAll("[hidden]")) hidden.hidden = false;
  const all = (selector) => [...document.querySelectorAll(selector)];
  const say = (fault, element) => faults.push(fault + (element ? " " + element.outerHTML.slice(0, 120) : ""));
  if (!document.documentElement.lang.startsWith("zh")) say("no language");
  if (!document.title.trim()) say("no title");
  if (all("main").length !== 1 || all("h1").length !== 1) say("not one main part with one heading");
  const levels = all("h1,h2,h3,h4").map((heading) => Number(heading.tagName[1]));
  levels.forEach((level, i) => { if (i && level > levels[i - 1] + 1) say("a heading level is skipped"); });
  for (const control of all("input,select,textarea")) {
    const named = control.getAttribute("aria-label") || [...control.labels].map((label) => label.textContent).join("");
    if (!named.trim()) say("no label", control);
  }
  for (const button of all("button")) if (!button.textContent.trim()) say("no name", button);
  for (const group of all("fieldset")) if (!group.querySelector("legend")) say("no legend", group);
  for (const table of all("table")) {
    if (!table.caption) say("no caption", table);
    for (const head of table.querySelectorAll("th")) if (!head.scope) say("no scope", head);
  }
  for (const region of all("[role=status],[role=alert],video"))
    if (!region.getAttribute("aria-label")) say("no name", region);
  for (const image of all("img")) if (!image.hasAttribute("alt")) say("no alternative", image);
  const ids = all("[id]").map((element) => element.id);
  if (new Set(ids).size !== ids.length) say("an id twice");
  for (const reference of all("[aria-labelledby],[aria-describedby],label[for]")) {
    const told = ["aria-labelledby", "aria-describedby", "for"].map((name) => reference.getAttribute(name));
    if (told.some((id) => id !== null && !document.getElementById(id))) say("refers to nothing", reference);
  }
  for (const element of all("[tabindex]")) if (element.tabIndex > 0) say("an order of its own", element);
  for (const foreign of all("[lang=en]"))
    if (/[\\u4e00-\\u9fff]/.test(foreign.textContent)) say("Chinese marked as English", foreign);
  return faults;
}"""
CONTRAST = """() => {
  const channels = (colour) => colour.match(/[\\d.]+/g).map(Number);
  const light = (colour) => channels(colour).slice(0, 3).map((value) => value / 255)
    .map((value) => (value <= 0.04045 ? value / 12.92 : ((value + 0.055) / 1.055) ** 2.4))
    .reduce((sum, value, i) => sum + value * [0.2126, 0.7152, 0.0722][i], 0);
  const ground = (element) => {
    for (let each = element; each; each = each.parentElement) {
      const found = channels(getComputedStyle(each).backgroundColor);
      if (found.length === 3 || found[3] > 0) return getComputedStyle(each).backgroundColor;
    }
    return "rgb(255, 255, 255)";
  };
  const faults = [];
  for (const outcome of ["valid", "invalid", "undetermined"]) {
    for (const box of document.querySelectorAll(".verdict")) box.className = `card verdict ${outcome}`;
    for (const element of document.querySelectorAll("main *")) {
      const own = [...element.childNodes].some((node) => node.nodeType === 3 && node.textContent.trim());
      if (!own) continue;
      const pair = [light(getComputedStyle(element).color), light(ground(element))].sort((a, b) => b - a);
      const ratio = (pair[0] + 0.05) / (pair[1] + 0.05);
      if (ratio < 4.5) faults.push(`${ratio.toFixed(2)} ${element.outerHTML.slice(0, 100)}`);
    }
  }
  return faults;
}"""


@pytest.mark.parametrize("path", PAGES)
async def test_a_page_can_be_used_without_seeing_it(page: Page, pages: str, path: str) -> None:
    """Every control has a name, every part its place, English is marked as English."""
    await page.goto(pages + path)

    assert await page.evaluate(AUDIT) == []


@pytest.mark.parametrize("path", PAGES)
async def test_text_stands_out_from_its_ground(page: Page, pages: str, path: str) -> None:
    """4.5 to 1 at least (WCAG 2.2, 1.4.3), whatever the outcome."""
    await page.goto(pages + path)
    await page.evaluate(AUDIT)

    assert await page.evaluate(CONTRAST) == []


@pytest.mark.parametrize("path", ["/scan", "/cascade"])
async def test_the_keyboard_reaches_every_control_and_shows_where_it_is(page: Page, pages: str, path: str) -> None:
    """Tab goes through the visible controls in the order of the page."""
    await page.goto(pages + path)
    wanted = await page.evaluate(
        "[...document.querySelectorAll('input,button,select,textarea')].filter((e) => e.offsetParent).map((e) => e.id)"
    )
    await page.locator("main :is(input, button)").first.focus()

    reached = [await page.evaluate("document.activeElement.id")]
    for _ in wanted[1:]:
        await page.keyboard.press("Tab")
        reached.append(await page.evaluate("document.activeElement.id"))
    outline = await page.evaluate("getComputedStyle(document.activeElement).outlineStyle")

    assert reached == wanted
    assert outline == "solid"


@pytest.mark.parametrize("path", PAGES)
async def test_a_page_fits_a_phone(page: Page, pages: str, path: str) -> None:
    """Nothing has to be pushed sideways at 360 pixels."""
    await page.set_viewport_size({"width": 360, "height": 740})
    await page.goto(pages + path)

    assert await page.evaluate("document.documentElement.scrollWidth <= innerWidth")
