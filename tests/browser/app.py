"""The app in a tab: what one does there, and what one sees."""

from __future__ import annotations

import re
from typing import Any

from playwright.sync_api import Locator, Page, expect

MESSAGE = "오늘은 비가 와서 창밖을 오래 보았다."
#: Where the answer stands that was written last.
_ANSWER = '[aria-busy] div[class*="_markdown_"], [aria-busy] div[class*="_plain_"]'


class Tab:
    """One page of the app. `broken` is what nobody is told of: errors, and what the policy of the page refused."""

    def __init__(self, page: Page) -> None:
        self.page = page
        self.broken: list[str] = []
        page.on("pageerror", lambda error: self.broken.append(str(error)))
        page.on("console", lambda said: self._heard(said.type, said.text))

    def _heard(self, kind: str, text: str) -> None:
        if kind == "error" and ("Content Security Policy" in text or "React" in text):
            self.broken.append(text)

    def wait_ready(self) -> None:
        """Waits until one can write."""
        expect(self.field).to_be_visible(timeout=20_000)

    @property
    def field(self) -> Locator:
        """Where one writes."""
        return self.page.locator("main form textarea").last

    def button(self, name: str | re.Pattern[str]) -> Locator:
        return self.page.get_by_role("button", name=name, exact=isinstance(name, str))

    @property
    def stop(self) -> Locator:
        return self.button("멈추기")

    def send(self, text: str = MESSAGE) -> None:
        self.field.fill(text)
        self.button(re.compile("^(보내기|회고 받기)$")).click()

    @property
    def text(self) -> str:
        """The answer as it is shown, without what sets its words apart."""
        return squeezed(str(self.page.evaluate(_SHOWN, _ANSWER)))

    def until_begun(self, number: int) -> None:
        """Waits until the answer of this number, from 1, is there; before, what is shown as the last one is the one before."""
        expect(self.page.locator(_ANSWER)).to_have_count(number, timeout=20_000)

    def grows(self, beyond: str = "") -> str:
        """The answer once it has become longer than it is, and than `beyond`; it is still on its way then."""
        length = max(len(self.text), len(beyond))
        condition = f"([selector, length]) => ({_SHOWN})(selector).replace(/\\s/g, '').length > length"
        self.page.wait_for_function(condition, arg=[_ANSWER, length], timeout=20_000, polling=20)
        expect(self.stop).to_be_visible()
        return self.text

    def until_ended(self, *, timeout: float = 60.0) -> str:
        """The answer, once nothing more is under way."""
        expect(self.stop).to_be_hidden(timeout=timeout * 1000)
        return self.text

    def until_told(self, words: str | re.Pattern[str], *, timeout: float = 20.0) -> None:
        """Waits until the page says this."""
        expect(self.page.get_by_text(words).first).to_be_visible(timeout=timeout * 1000)

    def watch(self) -> None:
        """From now on every change of the answer is looked at: see `mistakes`."""
        self.page.evaluate(_WATCH, _ANSWER)

    def mistakes(self) -> list[dict[str, str]]:
        """The changes that did more than to add to the answer's end."""
        found: list[dict[str, str]] = self.page.evaluate("mistakes")
        return found


def squeezed(text: Any) -> str:
    """Without blanks: paragraphs are set apart by the style of a page."""
    return re.sub(r"\s", "", str(text))


# Without "[연결 끊김]", which is said of the answer and is none of it.
_SHOWN = """(selector) => {
  const shown = [...document.querySelectorAll(selector)].at(-1)?.cloneNode(true);
  shown?.querySelectorAll('[class*="_partial_"]').forEach((mark) => mark.remove());
  return shown?.textContent ?? '';
}"""
_WATCH = f"""(selector) => {{
  const shown = () => ({_SHOWN})(selector).replace(/\\s/g, '');
  window.mistakes = [];
  let before = shown();
  new MutationObserver(() => {{
    const now = shown();
    if (!now.startsWith(before)) mistakes.push({{ before, now }});
    before = now;
  }}).observe(document, {{ childList: true, characterData: true, subtree: true }});
}}"""
