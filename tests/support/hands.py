"""The hands of a person at the console: a mouse or a keyboard. Each counts what it presses.

Both open the search with Ctrl-K, reach text fields with Tab, and end a text with Enter. The mouse presses everything
else with clicks, and the keyboard uses only keys.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import ClassVar, Final

from playwright.sync_api import Locator, Page, expect

MOST_KEYS: Final = 90
"""The number of presses of one key after which a target counts as not reachable."""

HAS_FOCUS: Final = "element => element === document.activeElement"
ROLE: Final = "element => element.getAttribute('role') ?? (element.type === 'radio' ? 'radio' : element.localName)"
GROUP_HAS_FOCUS: Final = "(element, group) => element.closest(group)?.contains(document.activeElement) ?? false"
IS_HIDDEN_INPUT: Final = "element => element.matches('input[type=checkbox], input[type=radio]')"

GROUPS: Final = {"menuitem": "[role=menu]", "radio": "[role=radiogroup]", "tab": "[role=tablist]"}
"""Roles whose elements are one stop of Tab together → their group."""
WAYS: Final = {"menuitem": "ArrowDown", "radio": "ArrowLeft", "tab": "ArrowRight"}
"""The key that goes to the next element of such a group."""


class Hand(ABC):
    """A hand at a page. `presses` counts clicks of the mouse, or keys except those of texts."""

    counts: ClassVar[str]
    """The noun of what it counts."""

    def __init__(self, page: Page) -> None:
        self.page = page
        self.presses = 0

    @abstractmethod
    def press(self, target: Locator) -> None:
        """Press a button, link, tab, radio button or switch."""

    def choose(self, field: Locator, option: str) -> None:
        """Choose an option of a field: by its text, if the field takes a text."""
        if field.get_attribute("readonly") is not None:
            self.choose_from_list(field, option)
            return
        self.tab_to(field)
        self.page.keyboard.type(option)
        self.walk_to(self.option(option))

    @abstractmethod
    def choose_from_list(self, field: Locator, option: str) -> None:
        """Choose an option of a field that takes no text."""

    def walk_to(self, option: Locator) -> None:
        """Choose an option of the open list with the arrow keys and Enter.

        Raises:
            AssertionError: the keys do not reach it.
        """
        expect(option).to_be_visible()
        for _ in range(MOST_KEYS):
            if option.get_attribute("data-combobox-selected") is not None:
                self.key("Enter")
                return
            self.key("ArrowDown")
        raise AssertionError(f"The arrow keys do not reach {option}.")

    def option(self, text: str) -> Locator:
        """An option of the open list."""
        return self.page.get_by_role("option").filter(has_text=text).first

    def key(self, name: str) -> None:
        """Press a key that is not part of a text."""
        self.page.keyboard.press(name)

    def type(self, field: Locator, text: str) -> None:
        """Type a text in a field, instead of its present text."""
        self.tab_to(field)
        field.press("Control+a")
        self.page.keyboard.type(text)

    def tab_to(self, target: Locator) -> None:
        """Press Tab until the target has the focus.

        Raises:
            AssertionError: it never gets the focus.
        """
        expect(target).to_be_visible()
        for _ in range(MOST_KEYS):
            if target.evaluate(HAS_FOCUS):
                return
            self.key("Tab")
        raise AssertionError(f"Tab does not reach {target}.")

    def enter(self, field: Locator) -> None:
        """Press Enter in a field, which sends its form."""
        field.press("Enter")

    def search(self, text: str, entry: str) -> None:
        """Open an entry of the search."""
        self.page.keyboard.press("Control+k")
        expect(self.page.get_by_role("combobox", name="Search")).to_be_focused()
        self.page.keyboard.type(text)
        expect(self.page.get_by_role("option", selected=True)).to_contain_text(entry)
        state = self.page.get_by_role("dialog", name="Search").get_by_role("status")
        expect(state).not_to_have_text("Searching…")  # until then, Enter opens nothing
        self.page.keyboard.press("Enter")


class Mouse(Hand):
    """A person with a mouse."""

    counts = "clicks"

    def press(self, target: Locator) -> None:
        expect(target).to_be_attached()
        if target.evaluate(IS_HIDDEN_INPUT):  # only its label is drawn
            target = self.page.locator(f"label[for='{target.get_attribute('id')}']").first
        self._click(target)

    def choose_from_list(self, field: Locator, option: str) -> None:
        self._click(field)
        self._click(self.option(option))

    def _click(self, target: Locator) -> None:
        target.click()
        self.presses += 1


class Keyboard(Hand):
    """A person without a mouse."""

    counts = "keys"

    def press(self, target: Locator) -> None:
        expect(target).to_be_attached()
        role = target.evaluate(ROLE)
        if role in GROUPS:
            self._reach_in_group(target, role)
            if role == "menuitem":
                self.key("Enter")
            return  # radio buttons and tabs are chosen by the arrow keys
        self.tab_to(target)
        self.key("Space" if target.evaluate(IS_HIDDEN_INPUT) else "Enter")

    def choose_from_list(self, field: Locator, option: str) -> None:
        self.tab_to(field)
        self.key("ArrowDown")  # opens the list
        self.walk_to(self.option(option))

    def key(self, name: str) -> None:
        super().key(name)
        self.presses += 1

    def _reach_in_group(self, target: Locator, role: str) -> None:
        """Go to the group with Tab, then to the element with arrow keys."""
        for _ in range(MOST_KEYS):
            if target.evaluate(HAS_FOCUS):
                return
            inside = target.evaluate(GROUP_HAS_FOCUS, GROUPS[role])
            self.key(WAYS[role] if inside else "Tab")
        raise AssertionError(f"The keyboard does not reach {target}.")
