"""Answering machine detection: who picked up, in Twilio's words, and how long it takes to find out.

Source of the words and of the thresholds: "Answering Machine Detection" in Twilio's documentation.
"""

from __future__ import annotations

from typing import Literal

from telephony.exchange.protocol import PickedUpBy

MachineDetection = Literal["Enable", "DetectMessageEnd"]

# A person greets and then waits; speech of more than 2.4 s is a machine's; 5 s of silence are nobody's.
_SECONDS: dict[PickedUpBy, float] = {"human": 2.0, "machine": 3.5, "fax": 3.0, "unknown": 5.0}
_GREETING_SECONDS = 12.0
"""Until the beep of an answering machine, for a call that wants to leave a message."""


def detect(picked_up_by: PickedUpBy, mode: MachineDetection) -> tuple[str, float]:
    """What is found, and after how many simulated seconds."""
    if picked_up_by != "machine":
        return picked_up_by, _SECONDS[picked_up_by]
    if mode == "DetectMessageEnd":
        return "machine_end_beep", _GREETING_SECONDS
    return "machine_start", _SECONDS["machine"]
