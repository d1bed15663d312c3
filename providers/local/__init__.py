"""Speech on this machine: Kokoro speaks, Whisper listens, a fitted Kokoro style imitates a recorded voice.

Nothing leaves the machine and no account is needed. The weights arrive inside packages (`weights.py`).
"""
