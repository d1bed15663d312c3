"""ElevenLabs over the network: instant voice clones, and speech in them, by the official SDK.

Needs an account and an API key; docs/setup-elevenlabs.md takes an operator through it.
"""

from providers.hookspecs import Register, hookimpl


@hookimpl
def register_providers(register: Register) -> None:
    from providers.elevenlabs.provider import ElevenLabsProvider
    from providers.elevenlabs.settings import ElevenLabsSettings

    register(ElevenLabsProvider(ElevenLabsSettings()))
