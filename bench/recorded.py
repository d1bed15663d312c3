"""A recording's way to the provider: from the carrier's word that it is there to the request for a clone.

A service is run as a user would run it. This program plays the carrier: it takes orders for calls, hands over
recordings of 30 s, and sends webhooks. The provider is a plugin that tells this program when it is asked for a clone;
what a provider does to prepare the sound is not part of the figures.

Measured is the time from sending the `recording` webhook to that moment. The caller has hung up after speaking, so that
nobody is waited for: fetching, listening, analysing, cleaning and noting all lie in between. The download, over the
loopback, is not deducted. Where the caller is asked first and presses 1 the moment the question comes, it is the time
from that key.
"""

from __future__ import annotations

import asyncio
import secrets
import tempfile
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import httpx
import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from audio.pcm import Pcm
from audio.wav import write_wav
from bench.figures import Figure, at_most, percentile
from bench.running import ACCOUNT, Call, Carrier, new_person, row_id, running_service, started_call
from telephony.exchange.app import listen
from tests.audio.sounds import caller, coded, phone, with_noise

SECONDS = 30.0
ROUNDS = 12  # of each kind, one after the other
SPEAKING = 1.0  # s from the beep to the end of what they say, for brevity: the service has long been ready by then
TOGETHER = 20  # clones at once
ROUND = 1.5  # s of the hold loop: a pause of 1 s, and in every third round words of 2 s
WITHIN = (5.0, ROUND)  # s, in which all of those end their recordings
CALLS_A_PERSON = 8  # a user may not start more than ten in an hour
NOISE_DB = 6.0  # below the speech
_PATIENCE = 240.0


async def main() -> list[Figure]:
    spoken = Pcm.join([phone(caller()), phone(caller())]).cut(0.0, SECONDS)
    good, noisy = write_wav(coded(spoken)), write_wav(coded(with_noise(spoken, "pink", NOISE_DB)))
    figures: list[Figure] = []
    twilio = Twilio()
    async with _served(twilio) as url, _service(url) as server, httpx.AsyncClient(timeout=30) as client:
        place = Place(twilio, server, client)
        for sound in (good, noisy):  # loads what a service loads once
            await place.hung_up(await place.ringing(), sound)
        for sound, words in ((good, "a good recording"), (noisy, f"noise {NOISE_DB:.0f} dB below the speech, cleaned")):
            took = [await place.hung_up(await place.ringing(), sound) for _ in range(ROUNDS)]
            name = f"recording callback → clone request, {SECONDS:.0f} s, {words}: p95 of {ROUNDS}"
            figures += [at_most(name, percentile(took, 95), 1.5, "s"), _median(took, "s")]
        assert all(twilio.cleaned[label] for label in list(twilio.cleaned)[-ROUNDS:]), "it was not cleaned"
        took = [await place.kept(await place.ringing(), noisy) for _ in range(ROUNDS)]
        name = f"key 1 as soon as asked → clone request, {words}: p95 of {ROUNDS}"
        figures += [at_most(name, percentile(took, 95), 1.5, "s"), _median(took, "s")]

        people = [await place.person() for _ in range(TOGETHER)]
        for within in WITHIN:
            calls = [await place.ringing(whose) for whose in people]
            if within == WITHIN[0]:
                idle = await place.idle(calls)
                name = f"webhook answers of {TOGETHER} calls that have not recorded anything yet, p99 of {len(idle)}"
                figures += [Figure(name, f"{percentile(idle, 99):.3g} ms"), _median(idle, "ms")]
            latencies, took = await place.together(calls, [good, noisy], within)
            name = f"webhook answers while {TOGETHER} clones are made at once, half of them cleaned, all recorded"
            name += f" within {within} s, p99 of {len(latencies)}"
            figures += [at_most(name, percentile(latencies, 99), 50, "ms"), _median(latencies, "ms")]
            name = f"recording callback → clone request of {TOGETHER} at once, the first, the median, the last"
            found = (min(took), percentile(took, 50), max(took))
            figures.append(Figure(name, ", ".join(f"{each:.3g}" for each in found) + " s"))
    return figures


def _median(values: Sequence[float], unit: str) -> Figure:
    return Figure("… p50", f"{percentile(values, 50):.3g} {unit}")


class Place:
    """Where callers are: the carrier's side of a service's calls."""

    def __init__(self, twilio: Twilio, server: str, client: httpx.AsyncClient) -> None:
        self._twilio = twilio
        self._server = server
        self._client = client
        self._people: list[str] = []
        self._calls = 0

    async def person(self) -> str:
        """Somebody who was not called before: their token."""
        self._people.append(await new_person(self._server, len(self._people)))
        return self._people[-1]

    async def ringing(self, whose: str | None = None) -> Caller:
        """The next call, agreed to: there has been a beep. `whose`: of whom, if it matters."""
        if whose is None:
            whose = self._people[-1] if self._calls % CALLS_A_PERSON else await self.person()
            self._calls += 1
        call = await started_call(self._server, whose)
        caller = Caller(self._twilio, call, Carrier(self._client, self._server, call))
        await caller.carrier.post("answer")
        await caller.carrier.post("consent", Digits=call.code)
        await asyncio.sleep(SPEAKING)
        return caller

    async def hung_up(self, caller: Caller, sound: bytes) -> float:
        """They spoke and hung up: seconds from the callback to the request."""
        await caller.speak(sound, "hangup")
        await caller.carrier.post("status", CallStatus="completed")
        return await self._requested(caller, await caller.callback())

    async def kept(self, caller: Caller, sound: bytes) -> float:
        """They spoke, were asked, and pressed 1: seconds from the key."""
        await caller.speak(sound, "1")
        await caller.callback()
        await caller.asked()
        pressed = time.perf_counter()
        await caller.carrier.post("choice", Digits="1")
        await caller.carrier.post("status", CallStatus="completed")
        return await self._twilio.requested(caller.label) - pressed

    async def idle(self, callers: Sequence[Caller]) -> list[float]:
        """What webhooks take while nothing is listened to: of each call 20, ms."""

        async def one(caller: Caller) -> list[float]:
            took = []
            await _some_of(ROUND)
            for _ in range(20):
                await asyncio.sleep(ROUND)
                took.append(await caller.carrier.post("review"))
            return took

        return [ms for took in await asyncio.gather(*map(one, callers)) for ms in took]

    async def together(
        self, callers: Sequence[Caller], sounds: Sequence[bytes], within: float
    ) -> tuple[list[float], list[float]]:
        """All end their recordings `within` some seconds, and press 1 when asked: what their webhooks took meanwhile,
        in ms, and for each the seconds from the callback to the request."""

        async def one(caller: Caller, sound: bytes) -> tuple[list[float], float]:
            await _some_of(within)
            took = [await caller.speak(sound, "1")]
            called = await caller.callback()
            requested = asyncio.create_task(self._requested(caller, called))
            kept = False
            while not (requested.done() and kept):
                await asyncio.sleep(ROUND)
                took.append(await caller.carrier.post("review"))
                if "/choice" in caller.carrier.answer and not kept:
                    took.append(await caller.carrier.post("choice", Digits="1"))
                    kept = True
            await caller.carrier.post("status", CallStatus="completed")
            return took, await requested

        pairs = [(caller, sounds[number % len(sounds)]) for number, caller in enumerate(callers)]
        results = await asyncio.gather(*(one(caller, sound) for caller, sound in pairs))
        return [ms for took, _ in results for ms in took], [seconds for _, seconds in results]

    async def _requested(self, caller: Caller, called: float) -> float:
        return await self._twilio.requested(caller.label) - called


async def _some_of(seconds: float) -> None:
    """Callers do not go in step."""
    await asyncio.sleep(secrets.randbelow(1000) / 1000 * seconds)


class Caller:
    """One call, and the one recording in it."""

    def __init__(self, twilio: Twilio, call: Call, carrier: Carrier) -> None:
        self.carrier = carrier
        self.label = row_id(call.clone_id)
        self.sid = f"RE{secrets.token_hex(16)}"
        self._twilio = twilio

    async def speak(self, sound: bytes, key: str) -> float:
        self._twilio.recordings[self.sid] = sound
        return await self.carrier.post("take", RecordingSid=self.sid, RecordingDuration=f"{SECONDS:.0f}", Digits=key)

    async def callback(self) -> float:
        """The carrier says that the recording is there: when it began to say so."""
        called = time.perf_counter()
        await self.carrier.post("recording", RecordingSid=self.sid, RecordingStatus="completed")
        return called

    async def asked(self) -> None:
        """Round the hold loop, faster than a carrier goes, until the question comes whether to keep it."""
        async with asyncio.timeout(_PATIENCE):
            while "/choice" not in self.carrier.answer:
                await asyncio.sleep(0.05)
                await self.carrier.post("review")


class Twilio:
    """As much of Twilio's API as these calls need, and the note-taker of the provider.

    Attributes:
        recordings: what can be fetched, by its sid.
        cleaned: by label, whether there was a cleaned sound in the request.
    """

    def __init__(self) -> None:
        self.recordings: dict[str, bytes] = {}
        self.cleaned: dict[str, bool] = {}
        self._requests: dict[str, asyncio.Future[float]] = {}

    async def requested(self, label: str) -> float:
        """When the provider was asked for this clone."""
        async with asyncio.timeout(_PATIENCE):
            return await self._request(label)

    def app(self) -> Starlette:
        account = f"/2010-04-01/Accounts/{ACCOUNT}"
        return Starlette(
            routes=[
                Route("/notes", self._note, methods=["POST"]),
                Route(f"{account}/Calls.json", self._place, methods=["POST"]),
                Route(f"{account}/Calls/{{sid}}.json", self._call),
                Route(f"{account}/Recordings.json", self._list),
                Route(f"{account}/Recordings/{{sid}}.wav", self._hand_over),
                Route(f"{account}/Recordings/{{sid}}.json", self._delete, methods=["DELETE"]),
            ]
        )

    def _request(self, label: str) -> asyncio.Future[float]:
        return self._requests.setdefault(label, asyncio.get_running_loop().create_future())

    async def _note(self, request: Request) -> Response:
        arrived = time.perf_counter()
        note = await request.json()
        self.cleaned[note["label"]] = note["cleaned"]
        self._request(note["label"]).set_result(arrived)
        return Response(status_code=204)

    async def _place(self, _: Request) -> Response:
        return JSONResponse({"sid": f"CA{secrets.token_hex(16)}", "status": "queued"}, 201)

    async def _call(self, request: Request) -> Response:
        return JSONResponse({"sid": request.path_params["sid"], "status": "in-progress"})

    async def _list(self, _: Request) -> Response:
        return JSONResponse({"recordings": [], "next_page_uri": None})

    async def _hand_over(self, request: Request) -> Response:
        return Response(self.recordings[request.path_params["sid"]], media_type="audio/x-wav")

    async def _delete(self, _: Request) -> Response:
        return Response(status_code=204)


@asynccontextmanager
async def _served(twilio: Twilio) -> AsyncIterator[str]:
    """The stand-in on a socket: its address."""
    listening, url = listen("127.0.0.1", 0)
    server = uvicorn.Server(uvicorn.Config(twilio.app(), lifespan="off", log_level="warning", access_log=False))
    serving = asyncio.create_task(server.serve(sockets=[listening]))
    try:
        yield url
    finally:
        server.should_exit = True
        await serving


@asynccontextmanager
async def _service(twilio: str) -> AsyncIterator[str]:
    """A service that has the noting provider installed: its address."""
    with tempfile.TemporaryDirectory() as folder:
        package = Path(folder) / "bench_noting-1.0.dist-info"
        package.mkdir()
        (package / "METADATA").write_text("Metadata-Version: 2.1\nName: bench-noting\nVersion: 1.0\n")
        (package / "entry_points.txt").write_text("[deadringer]\nnoting = bench.noting_provider\n")
        settings = {"PYTHONPATH": folder, "DEFAULT_CLONE_PROVIDER": "noting", "BENCH_NOTES": f"{twilio}/notes"}
        async with running_service(twilio, **settings) as (server, _):
            yield server


if __name__ == "__main__":
    for figure in asyncio.run(main()):
        print(f"{figure.name:<110} {figure.value:>12}  {figure.goal}")
