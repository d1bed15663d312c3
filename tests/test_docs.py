"""The manual keeps its promises: what it lists is what there is."""

from __future__ import annotations

import re
from pathlib import Path

from studio.mistakes import FailureCode, words_for

DOCS = Path(__file__).parent.parent / "docs"


def test_every_failure_is_in_the_manual() -> None:
    rows = re.findall(r"^\| `([a-z_]+)` \|", (DOCS / "failures.md").read_text(), re.MULTILINE)
    assert rows == [code.value for code in FailureCode]


def test_every_failure_has_words_that_say_something() -> None:
    for code in FailureCode:
        message, _ = words_for(code)
        assert message.endswith(".")
        assert len(message.split()) > 3


def test_links_between_pages_lead_somewhere() -> None:
    root = DOCS.parent
    pages = [root / "README.md", root / "CONTRIBUTING.md", *DOCS.glob("*.md")]
    for page in pages:
        for link in re.findall(r"\]\((?!https?://|#)([^)#]+)", page.read_text()):
            assert (page.parent / link).exists(), f"{page.name} links to {link}"
