"""What a process of the service imports only when it is first needed, for the fork server to import once."""

from __future__ import annotations

import onnxruntime  # noqa: F401
from elevenlabs.client import AsyncElevenLabs
from twilio.rest import Client

_eleven, _twilio = AsyncElevenLabs(api_key="none"), Client("none", "none")
_ = (_eleven.voices.ivc, _eleven.user.subscription, _twilio.calls, _twilio.recordings)
