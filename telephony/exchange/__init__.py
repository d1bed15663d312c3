"""The local telephone exchange: a small Twilio-compatible service, and the phones that it rings.

It is a process of its own (`python -m telephony.exchange`) that knows nothing of the rest of the project: the real
Twilio SDK talks to it over HTTP, it fetches TwiML from the application by signed webhooks, and it rings phones that are
connected to it by WebSocket. `docs/exchange.md` says what of Twilio it does and does not do.

## The phone protocol

A phone is a WebSocket connection to `/phones/{number}`, the number in E.164 form (`/phones/+14155550123`). One phone
per number: a newer connection replaces the older, which is told `replaced` and closed with code 4001. A handshake with
the `Origin` header of a web page that is not served from this machine is refused with 403, and a malformed number too.

Text frames are JSON objects with an `event`; binary frames are sound, G.711 μ-law at 8000 Hz, one channel, without any
header, in pieces of at most 8000 bytes (one second). `protocol.py` defines each message; in short:

| from the exchange | when |
|---|---|
| `registered` | first of all: the number, and the speed at which simulated time passes |
| `replaced` | another phone took the number |
| `ringing`, `ringing-stopped` | a call rings; the caller gave up before it was answered |
| `answered` | the call is in progress |
| `said` | text to be spoken to the person, and the seconds that speaking it takes |
| `played` | a sound file follows as binary frames, at the pace of speech |
| `gathering`, `awaiting-keys`, `gathered` | keys count from now on; the prompt is over; no more keys are taken |
| `recording`, `recorded` | the beep has sounded: speak; the recording is over |
| `ended` | the call is over, with the error that ended it, if one did |
| `problem` | the phone sent something that makes no sense now; it was ignored |

| from the phone | meaning |
|---|---|
| `answer` | for the ringing call; `by` says who answers, for machine detection |
| `decline` | for the ringing call, which ends as `busy` or, on a broken line, `failed` |
| `keys` | digits, `*` and `#` pressed on the keypad |
| `hang-up` | for the call in progress |
| binary frames | what the person says; used while `recording`, dropped otherwise |

While a recording runs the phone sends sound without a gap, silence included, as a real one does: lengths and silences
are measured in samples, not by the clock, so that they come out the same at any speed. A phone that closes its
connection during a call has hung up.
"""
