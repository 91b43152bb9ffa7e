"""A person who logs in at an OpenID provider with a browser: `person.py WHO URL`, without anything else of the tests."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from html import unescape
from pathlib import Path
from typing import Final

import httpx2

_MOST_PAGES: Final = 20
_PAGE_S: Final = 60.0


def log_in(url: str, person: str) -> str:
    """Do what a person does in a browser: follow redirects, fill in forms; return the text of the last page."""
    with httpx2.Client(follow_redirects=True, timeout=_PAGE_S) as browser:
        page = browser.get(url)
        for _ in range(_MOST_PAGES):
            form = re.search(r"<form(.*?)>(.*?)</form>", page.text, re.DOTALL)
            if form is None:
                break
            action = re.search(r'action="([^"]*)"', form[1])
            fields = dict(_fields(form[2])) | {"login": person, "password": "any"}
            page = browser.post(str(page.url.join(unescape(action[1]) if action else "")), data=fields)
        return page.text


def _fields(form: str) -> Iterator[tuple[str, str]]:
    for tag in re.findall(r"<(?:input|button)[^>]*>", form):
        name = re.search(r'name="([^"]*)"', tag)
        value = re.search(r'value="([^"]*)"', tag)
        if name and name[1] != "abort":
            yield name[1], unescape(value[1]) if value else ""


def browser_of(person: str) -> str:
    """Return the value of BROWSER with which a command opens its pages for a person."""
    return f"{sys.executable} {Path(__file__)} {person} %s &"


if __name__ == "__main__":
    log_in(sys.argv[2], sys.argv[1])
