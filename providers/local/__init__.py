"""Speech on this machine: Kokoro speaks, Whisper listens, a fitted Kokoro style imitates a recorded voice.

Nothing leaves the machine and no account is needed. The weights arrive inside packages (`weights.py`).
"""

from providers.hookspecs import Register, hookimpl


@hookimpl
def register_providers(register: Register) -> None:
    from providers.local.provider import LocalProvider
    from providers.local.settings import LocalSettings

    register(LocalProvider(LocalSettings()))
