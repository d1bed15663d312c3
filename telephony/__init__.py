"""Telephone calls through Twilio: placing them, answering Twilio's webhooks, and what the person called hears.

`carrier.py` fulfils `studio.ports.Carrier`; `webhooks.py` is the HTTP side; `script.py` holds every word that is said.
`exchange/` is a Twilio-compatible telephone exchange for this machine, a process that knows nothing of the rest.
"""
