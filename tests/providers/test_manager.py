"""Finding providers: whatever is wrong with one plugin is told, and the others work."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from itertools import count
from pathlib import Path
from textwrap import dedent

import pytest

from providers.contract import Capability, SpeechRequest, Synthesizer
from providers.manager import BrokenPlugin, ProviderRegistry, load_providers
from tests.providers.tone import ToneProvider

NOTHING_INSTALLED = {"DEADRINGER_LOAD_PLUGINS": ""}


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder that Python imports from, as `site-packages`."""
    monkeypatch.syspath_prepend(tmp_path)
    return tmp_path


_unused = count()


def module(site: Path, code: str) -> str:
    """A module of a name that was never imported."""
    name = f"plugin_of_a_test_{next(_unused)}"
    (site / f"{name}.py").write_text(dedent(code), encoding="utf-8")
    return name


def install(site: Path, name: str, code: str) -> None:
    """A distribution as pip leaves it, with the entry point `name` in the group `deadringer`."""
    module_name = module(site, code)
    info = site / f"{module_name}-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {module_name}\nVersion: 1.0\n", encoding="utf-8")
    (info / "entry_points.txt").write_text(f"[deadringer]\n{name} = {module_name}\n", encoding="utf-8")


@pytest.fixture
def tone(site: Path) -> str:
    """A plugin that works, by its module."""
    code = """
        from deadringer import hookimpl
        from tests.providers.tone import ToneProvider

        @hookimpl
        def register_providers(register):
            register(ToneProvider())
    """
    return module(site, code)


# A whole third-party plugin: it repeats the words as tones.
ECHO = """
    from collections.abc import AsyncIterator, Sequence

    from deadringer import Health, Pcm, SpeechRequest, VoiceInfo, hookimpl

    class Echo:
        name = "echo"
        title = "Echo"
        version = "1.0"
        speech_options = frozenset()

        async def health(self) -> Health:
            return Health(available=True)

        async def warm_up(self) -> None: ...

        async def aclose(self) -> None: ...

        async def voices(self) -> Sequence[VoiceInfo]:
            return (VoiceInfo(key="only", name="Only"),)

        async def synthesize(self, request: SpeechRequest) -> AsyncIterator[Pcm]:
            for _ in request.text.split():
                yield Pcm.silence(0.1, 8000)

    @hookimpl
    def register_providers(register):
        register(Echo())
"""


def reasons(registry: ProviderRegistry) -> dict[str, str]:
    return {broken.name: broken.reason for broken in registry.broken}


def test_the_built_in_providers_load() -> None:
    registry = load_providers(environment=NOTHING_INSTALLED)
    assert registry.broken == []
    assert list(registry.providers) == ["local", "elevenlabs"]
    assert registry.having(Capability.TRANSCRIBE) == [registry.get("local")]
    assert registry.get("nobody") is None


def test_loading_the_built_in_providers_imports_no_model_library() -> None:
    code = (
        "import sys; from providers.manager import load_providers; assert load_providers(environment="
        "{'DEADRINGER_LOAD_PLUGINS': ''}).get('local'); print(*sys.modules)"
    )
    modules = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert not {"onnxruntime", "ctranslate2", "faster_whisper", "pycrfsuite", "sentencex"} & set(modules)


async def test_an_installed_plugin_is_found_and_speaks(site: Path, tone: str) -> None:
    install(site, "echo", ECHO)
    registry = load_providers((tone,), environment={})
    assert registry.broken == []
    assert list(registry.providers) == ["tone", "echo"]
    echo = registry.get("echo")
    assert isinstance(echo, Synthesizer)
    assert len([piece async for piece in echo.synthesize(SpeechRequest("one two three", "only"))]) == 3


def test_the_environment_chooses_among_the_installed(site: Path) -> None:
    install(site, "echo", ECHO)
    install(site, "other", ECHO.replace('name = "echo"', 'name = "other"'))
    assert set(load_providers((), environment={}).providers) == {"echo", "other"}
    assert set(load_providers((), environment={"DEADRINGER_LOAD_PLUGINS": " other ,"}).providers) == {"other"}
    assert load_providers((), environment=NOTHING_INSTALLED).providers == {}
    assert load_providers((), installed=False, environment={}).providers == {}


def test_a_plugin_that_was_asked_for_and_is_not_installed_is_told(tone: str) -> None:
    registry = load_providers((tone,), environment={"DEADRINGER_LOAD_PLUGINS": "echo"})
    assert list(registry.providers) == ["tone"]
    assert "no installed package" in reasons(registry)["echo"]


@pytest.mark.parametrize(
    ("code", "reason"),
    [
        ("import a_module_that_is_not_there", "ModuleNotFoundError: No module named 'a_module_that_is_not_there'"),
        ("this is no Python", "SyntaxError"),
        ("import sys; sys.exit(3)", "SystemExit: 3"),
        ("x = 1", "does not implement the hook register_providers"),
        (
            """
            from deadringer import hookimpl
            @hookimpl
            def register_provider(register): ...
            """,
            "unknown hook 'register_provider'",
        ),
        (
            """
            from deadringer import hookimpl
            @hookimpl
            def register_providers(registry): ...
            """,
            "registry",
        ),
        (
            """
            from deadringer import hookimpl
            @hookimpl
            def register_providers(register):
                raise RuntimeError("no licence key")
            """,
            "RuntimeError: no licence key",
        ),
        (
            """
            from deadringer import hookimpl
            @hookimpl
            def register_providers(register):
                register(object())
            """,
            "is no provider",
        ),
        (ECHO.replace('name = "echo"', 'name = "My Echo"'), "'My Echo' is no name"),
        (ECHO.replace('name = "echo"', 'name = "tone"'), "there is a provider 'tone' already"),
        (ECHO.replace('name = "echo"', "name = property(lambda self: 1 / 0)"), "ZeroDivisionError"),
        (ECHO.replace("def synthesize", "def speak"), "none of the capabilities"),
    ],
)
def test_a_broken_plugin_is_told_and_the_others_load(site: Path, tone: str, code: str, reason: str) -> None:
    install(site, "broken", code)
    registry = load_providers((tone,), environment={})
    assert list(registry.providers) == ["tone"]
    assert list(reasons(registry)) == ["broken"]
    assert reason in reasons(registry)["broken"]


def test_a_broken_module_among_the_built_in_is_no_different(site: Path, tone: str) -> None:
    name = module(site, "1 / 0")
    registry = load_providers((name, tone), environment=NOTHING_INSTALLED)
    assert list(registry.providers) == ["tone"]
    assert registry.broken == [BrokenPlugin(name, "ZeroDivisionError: division by zero")]


def test_a_setting_that_makes_no_sense_breaks_only_its_provider(tone: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LOCAL_THREADS", "many")
    registry = load_providers(("providers.local", tone), environment=NOTHING_INSTALLED)
    assert list(registry.providers) == ["tone"]
    assert "LOCAL_THREADS" in reasons(registry)["providers.local"]


async def test_closing_reaches_every_provider(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("providers.manager._CLOSE_SECONDS", 0.05)
    closed: list[str] = []

    async def fails(name: str) -> None:
        closed.append(name)
        raise RuntimeError("cannot close")

    async def hangs(name: str) -> None:
        closed.append(name)
        await asyncio.Event().wait()

    registry = ProviderRegistry()
    for name, close in (("failing", fails), ("hanging", hangs), ("good", fails)):
        provider = ToneProvider()
        monkeypatch.setattr(provider, "aclose", lambda name=name, close=close: close(name))
        registry.providers[name] = provider
    await registry.aclose()
    assert sorted(closed) == ["failing", "good", "hanging"]
