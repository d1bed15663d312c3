"""The rooms of the house: who may import whom."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent

# What each room may import of the others. `modal/` has no `__init__.py`: `import modal` is the SDK of that name.
MAY_IMPORT = {
    "audio": set(),
    "providers": {"audio"},
    "studio": {"audio", "providers"},
    "telephony": {"audio", "studio"},
    "api": {"audio", "providers", "studio", "telephony"},
    "engine": {"audio"},
    "modal": {"engine"},
    "client": set(),
    "deadringer": {"audio", "providers", "studio", "telephony", "api", "engine"},
}
ROOMS = {*MAY_IMPORT, "bench", "tests"}
# The exchange is a process of its own that knows nothing of the rest.
EXCHANGE = "telephony/exchange"


def imported(source: str) -> Iterator[str]:
    """The modules that a source file imports, wherever in it."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "rooms import by absolute names"
            yield node.module or ""


def violations(room: str, path: Path, source: str) -> list[str]:
    allowed = MAY_IMPORT[room] | {room}
    if path.as_posix().startswith(f"{EXCHANGE}/"):
        allowed = {"audio", "telephony"}
    found = []
    for module in imported(source):
        other = module.partition(".")[0]
        # Tools resolve `modal` to the SDK, and so do we: the room of that name cannot be imported at all.
        foreign = other in ROOMS - {"modal"} and other not in allowed
        outside = path.as_posix().startswith(f"{EXCHANGE}/") and other == "telephony"
        if foreign or (outside and not module.startswith("telephony.exchange")):
            found.append(f"{path} imports {module}")
    return found


@pytest.mark.parametrize("room", sorted(MAY_IMPORT))
def test_imports_go_one_way(room: str) -> None:
    found = [
        violation
        for file in sorted((ROOT / room).rglob("*.py"))
        if "node_modules" not in file.parts
        for violation in violations(room, file.relative_to(ROOT), file.read_text())
    ]
    assert found == []


@pytest.mark.parametrize(
    ("room", "path", "source"),
    [
        ("audio", "audio/planted.py", "from providers.contract import Provider"),
        ("studio", "studio/planted.py", "def late() -> None:\n    import telephony.carrier"),
        ("telephony", "telephony/exchange/planted.py", "from studio.states import CallStatus"),
        ("telephony", "telephony/exchange/planted.py", "from telephony.carrier import TwilioCarrier"),
        ("modal", "modal/planted.py", "import api.app"),
    ],
)
def test_a_planted_violation_is_found(room: str, path: str, source: str) -> None:
    assert violations(room, Path(path), source)


def test_the_modal_sdk_is_not_shadowed() -> None:
    import modal

    assert not (ROOT / "modal" / "__init__.py").exists()
    assert Path(modal.__file__ or "").parent != ROOT / "modal"


def test_every_room_says_what_it_is_for() -> None:
    for room in ("audio", "providers", "studio", "telephony", "api", "engine", "deadringer"):
        documentation = ast.get_docstring(ast.parse((ROOT / room / "__init__.py").read_text()))
        assert documentation, f"{room}/__init__.py has no words"
