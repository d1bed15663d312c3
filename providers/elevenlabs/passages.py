"""Long text in passages that fit into one request each."""

from __future__ import annotations

import re
from collections.abc import Iterator

# Where to cut, best first: paragraphs, sentences (also in scripts that put no space after them), clauses, words.
_ENDS = (
    re.compile(r"\n\s*\n\s*"),
    re.compile(r"[.!?…][\"')\]»”’]*\s+|[。！？]"),
    re.compile(r"[,;:—]\s+|[、，；]"),
    re.compile(r"\s+"),
)


def passages(text: str, longest: int) -> Iterator[str]:
    """Parts of the text, in order and nothing left out, of `longest` characters at most; each ends as late as it can
    at the best kind of end that lies in its second half."""
    rest = text.strip()
    while len(rest) > longest:
        end = _end(rest, longest)
        yield rest[:end].rstrip()
        rest = rest[end:].lstrip()
    if rest:
        yield rest


def _end(text: str, longest: int) -> int:
    for kind in _ENDS:
        found = [match.end() for match in kind.finditer(text, 0, longest + 1) if match.end() <= longest]
        if found and found[-1] > longest // 2:
            return found[-1]
    return longest
