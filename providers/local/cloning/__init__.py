"""Cloning on this machine: a Kokoro style is fitted to a recording. It imitates a voice; it does not replicate it."""
