"""People before a browser: each with a profile of their own; what went wrong is in the report."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import allure
from playwright.sync_api import Browser, BrowserContext, ConsoleMessage, Dialog, Page

WAIT_MILLISECONDS = 10_000


@dataclass
class Person:
    """One browser profile with one page."""

    page: Page
    complaints: list[str] = field(default_factory=list)

    def log_in(self, name: str, password: str) -> None:
        """From the portal's first page through identity and back."""
        self.page.goto("/")
        self.page.get_by_role("link", name="Log in").click()
        self.page.get_by_label("User name").fill(name)
        self.page.get_by_label("Password").fill(password)
        self.page.get_by_role("button", name="Log in").click()
        self.page.get_by_role("heading", name="Catalogue").wait_for()

    def forgive(self, *texts: str) -> None:
        """Complaints with one of these texts were to be expected."""
        self.complaints = [one for one in self.complaints if not any(text in one for text in texts)]

    def open(self, name: str) -> None:
        """A page of the menu."""
        self.page.get_by_role("navigation", name="Main").get_by_role("link", name=name).click()
        self.page.get_by_role("heading", name=name, level=1).wait_for()


@dataclass
class People:
    """Makes persons; at the end nobody's browser may have complained (scripts, policy, network)."""

    browser: Browser
    address: str
    folder: Path
    _contexts: list[BrowserContext] = field(default_factory=list)
    _persons: list[Person] = field(default_factory=list)

    def someone(self, **options: Any) -> Person:
        """A new profile: nothing that another one did is in it. `options` are those of Playwright's `new_context`."""
        context = self.browser.new_context(base_url=self.address, **options)
        context.set_default_timeout(WAIT_MILLISECONDS)
        context.tracing.start(screenshots=True, snapshots=True)
        self._contexts.append(context)
        person = Person(context.new_page())
        person.page.on("console", lambda message: self._note(person, message))
        person.page.on("pageerror", lambda error: person.complaints.append(str(error)))
        person.page.on("dialog", lambda dialog: self._refuse(person, dialog))
        self._persons.append(person)
        return person

    @staticmethod
    def _refuse(person: Person, dialog: Dialog) -> None:
        """The portal asks nothing in dialogs: one that opens is somebody's script."""
        person.complaints.append(f"dialog: {dialog.message}")
        dialog.dismiss()

    @staticmethod
    def _note(person: Person, message: ConsoleMessage) -> None:
        # A page that answers 4xx is reported as an error, too; what tests expect they assert themselves.
        if message.type == "error" and "the server responded with a status of 4" not in message.text:
            person.complaints.append(message.text)

    def attach(self) -> None:
        """What each of them saw, and the way there, into the report."""
        for number, person in enumerate(self._persons, 1):
            screenshot = person.page.screenshot(full_page=True)
            allure.attach(screenshot, f"person {number}: {person.page.url}", allure.attachment_type.PNG)
            trace = self.folder / f"person-{number}.zip"
            person.page.context.tracing.stop(path=trace)
            allure.attach.file(str(trace), f"person {number}: trace for playwright show-trace", extension="zip")

    def leave(self) -> None:
        for context in self._contexts:
            context.close()

    @property
    def complaints(self) -> list[str]:
        return [text for person in self._persons for text in person.complaints]


@contextmanager
def people(browser: Browser, address: str, failed: Any) -> Iterator[People]:
    """People who go home at the end; `failed()` tells whether somebody will ask what they saw."""
    with tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
        made = People(browser, address, Path(folder))
        stack.callback(made.leave)
        yield made
        if failed():
            made.attach()
        else:
            assert not made.complaints, f"a browser complained: {made.complaints}"
