"""Signed audio links: while the audio is made, when it is done, and when they are tampered with."""

from __future__ import annotations

import asyncio
import io
from collections.abc import AsyncIterator
from urllib.parse import parse_qs, urlencode, urlsplit

import httpx
import pytest
import pytest_asyncio
import soundfile
from strawberry.relay import GlobalID

from api.audio_links import LIFETIME, AudioLinks
from audio.g711 import decode_mulaw
from audio.pcm import Pcm
from audio.wav import read_wav, write_wav
from providers.contract import Refused
from studio.states import AudioFormat
from studio.tables import Recording, Synthesis
from tests.api.service import WITHIN, Person, Service
from tests.providers.tone import pitch_of, tone

pytestmark = pytest.mark.asyncio(loop_scope="module")

TEN_WORDS = " ".join(["word"] * 10)  # a second of sound
TWO_WORDS = 44 + 2 * 4800  # bytes of WAV


@pytest_asyncio.fixture(autouse=True, loop_scope="module")
async def nothing_is_left_behind(service: Service) -> AsyncIterator[None]:
    yield
    await service.all_spoken()


async def _speak(
    service: Service, person: Person, format: AudioFormat = AudioFormat.WAV, text: str = TEN_WORDS
) -> tuple[Synthesis, str]:
    """A synthesis and the path of its link."""
    synthesis = await service.speak(person, text, "high", format)
    query = "query ($id: ID!) { synthesis(id: $id) { audioUrl } }"
    found = (await service.ask(query, person, id=str(GlobalID("Synthesis", synthesis.id))))["synthesis"]
    url = urlsplit(found["audioUrl"])
    assert f"{url.scheme}://{url.netloc}" == service.settings.public_base_url
    return synthesis, f"{url.path}?{url.query}"


async def _done(service: Service, person: Person, format: AudioFormat = AudioFormat.WAV) -> tuple[Synthesis, str]:
    synthesis, link = await _speak(service, person, format)
    await service.spoken(synthesis)
    return synthesis, link


def _decoded(format: AudioFormat, data: bytes) -> Pcm:
    match format:
        case AudioFormat.WAV:
            return read_wav(data)
        case AudioFormat.PCM_S16LE_24K:
            return Pcm.from_int16(data, 24_000)
        case AudioFormat.MULAW_8K:
            return decode_mulaw(data)
    samples, rate = soundfile.read(io.BytesIO(data), dtype="float32")
    return Pcm(samples, rate)


@pytest.mark.parametrize("format", list(AudioFormat))
async def test_every_format_can_be_heard(service: Service, ann: Person, format: AudioFormat) -> None:
    content_type = {
        AudioFormat.WAV: "audio/wav",
        AudioFormat.MP3: "audio/mpeg",
        AudioFormat.PCM_S16LE_24K: "audio/pcm",
        AudioFormat.MULAW_8K: "audio/basic",
    }[format]
    _, link = await _done(service, ann, format)
    answer = await service.http.get(link)
    assert answer.status_code == 200
    assert answer.headers["content-type"].startswith(content_type)
    assert int(answer.headers["content-length"]) == len(answer.content)
    sound = _decoded(format, answer.content)
    assert sound.seconds == pytest.approx(1.0, abs=0.1)
    assert pitch_of(sound) == pytest.approx(440, abs=5)


@pytest.mark.parametrize("format", list(AudioFormat))
async def test_a_link_plays_while_the_audio_is_made(service: Service, ann: Person, format: AudioFormat) -> None:
    service.provider.speaking.hold()
    _, link = await _speak(service, ann, format)
    service.provider.speaking.let(5)
    async with asyncio.timeout(WITHIN), service.http.stream("GET", link) as answer:
        assert answer.status_code == 200
        assert "content-length" not in answer.headers
        assert answer.headers["accept-ranges"] == "none"
        data = bytearray()
        pieces = answer.aiter_bytes()
        while len(data) < 1_000:  # there is something to hear, though half of it has not been spoken
            data += await anext(pieces)
        service.provider.speaking.open()
        async for piece in pieces:
            data += piece
    sound = _decoded(format, bytes(data))
    assert sound.seconds == pytest.approx(1.0, abs=0.1)
    assert pitch_of(sound) == pytest.approx(440, abs=5)
    whole = (await service.http.get(link)).content
    assert len(whole) == len(data)
    assert whole[44:] == data[44:]  # but for the length in the header of a WAV


async def test_a_player_may_jump_about_when_it_is_done(service: Service, ann: Person) -> None:
    _, link = await _done(service, ann)
    whole = (await service.http.get(link)).content
    size = len(whole)
    cases = {
        "bytes=0-0": (0, 1),
        "bytes=44-143": (44, 144),
        f"bytes={size - 10}-": (size - 10, size),
        "bytes=-10": (size - 10, size),
        f"bytes=10-{size * 2}": (10, size),
        f"bytes=-{size * 2}": (0, size),
        " bytes = 5 - 9 ".strip(): (5, 10),
    }
    for header, (start, stop) in cases.items():
        answer = await service.http.get(link, headers={"Range": header})
        assert answer.status_code == 206, header
        assert answer.content == whole[start:stop]
        assert answer.headers["content-range"] == f"bytes {start}-{stop - 1}/{size}"
        assert answer.headers["accept-ranges"] == "bytes"


async def test_ranges_that_cannot_be_and_ranges_that_make_no_sense(service: Service, ann: Person) -> None:
    _, link = await _done(service, ann)
    size = len((await service.http.get(link)).content)
    for header in (f"bytes={size}-", f"bytes={size + 5}-{size + 9}", "bytes=-0"):
        answer = await service.http.get(link, headers={"Range": header})
        assert (answer.status_code, answer.headers["content-range"]) == (416, f"bytes */{size}")
    for header in ("bytes=9-5", "bytes=-", "bytes=a-b", "samples=0-5", "bytes=0-1,5-6", "bytes=" + "9" * 99 + "-"):
        answer = await service.http.get(link, headers={"Range": header})
        assert (answer.status_code, len(answer.content)) == (200, size), header


async def test_a_client_that_has_it_already_is_told_so(service: Service, ann: Person) -> None:
    _, link = await _done(service, ann)
    whole = await service.http.get(link)
    etag = whole.headers["etag"]
    assert (await service.http.get(link, headers={"If-None-Match": etag})).status_code == 304
    part = {"Range": "bytes=0-9"}
    assert (await service.http.get(link, headers={**part, "If-Range": etag})).status_code == 206
    assert (await service.http.get(link, headers={**part, "If-Range": '"another"'})).status_code == 200
    head = await service.http.head(link)
    assert (head.status_code, head.content) == (200, b"")
    assert head.headers["content-length"] == whole.headers["content-length"]


async def test_a_head_request_does_not_wait_for_the_end(service: Service, ann: Person) -> None:
    service.provider.speaking.hold()
    _, link = await _speak(service, ann)
    service.provider.speaking.let()
    async with asyncio.timeout(WITHIN):
        head = await service.http.head(link)
    assert (head.status_code, head.headers["content-type"]) == (200, "audio/wav")


async def test_a_synthesis_that_fails_midway_is_not_taken_for_whole(service: Service, ann: Person) -> None:
    service.provider.speaking.hold()
    synthesis, link = await _speak(service, ann)
    service.provider.speaking.let(2)
    async with asyncio.timeout(WITHIN), service.http.stream("GET", link) as answer:
        pieces = answer.aiter_bytes()
        data = await anext(pieces)
        while len(data) < TWO_WORDS:
            data += await anext(pieces)
        service.provider.failing = Refused("the tone generator is on fire")
        service.provider.speaking.open()
        with pytest.raises(httpx.RemoteProtocolError):
            await anext(pieces)
    # What was spoken before can be heard.
    await service.spoken(synthesis)
    assert len((await service.http.get(link)).content) == TWO_WORDS


async def test_a_synthesis_without_sound_says_why(service: Service, ann: Person) -> None:
    service.provider.failing = Refused("the tone generator is on fire")
    _, link = await _speak(service, ann)
    async with asyncio.timeout(WITHIN):
        for _ in range(2):  # while it fails, and when it has failed
            answer = await service.http.get(link)
            assert answer.status_code == 404
            assert answer.text.startswith("There is nothing to hear here.")


async def test_a_canceled_synthesis_ends_where_it_was(service: Service, ann: Person) -> None:
    service.provider.speaking.hold()
    synthesis, link = await _speak(service, ann)
    service.provider.speaking.let(2)
    async with asyncio.timeout(WITHIN), service.http.stream("GET", link) as answer:
        pieces = answer.aiter_bytes()
        data = await anext(pieces)
        while len(data) < TWO_WORDS:
            data += await anext(pieces)
        await service.studio.speech.cancel(ann.id, synthesis.id)
        async for piece in pieces:
            data += piece
    assert read_wav(data).seconds == pytest.approx(0.2)


async def test_links_are_signed_for_one_thing_one_owner_and_a_while(service: Service, ann: Person, bob: Person) -> None:
    one, link = await _done(service, ann)
    _, other = await _done(service, ann)
    path, _, query = link.partition("?")
    parameters = {name: values[0] for name, values in parse_qs(query).items()}
    forged = [
        path,
        f"{path}?{other.partition('?')[2]}",
        link.replace(".wav", ".mp3"),
        *(f"{path}?{urlencode({**parameters, name: value})}" for name, value in (
            ("owner", bob.id), ("expires", str(int(parameters["expires"]) + 900)), ("signature", "x" * 43),
            ("signature", "é"), ("expires", "٣"), ("expires", "9" * 40), ("owner", f"{ann.id}\n1"),
        )),
    ]  # fmt: skip
    for wrong in forged:
        answer = await service.http.get(wrong)
        assert answer.status_code == 403, wrong
        assert "expired" in answer.text
    assert (await service.http.get(link)).status_code == 200
    await service.studio.speech.delete(ann.id, one.id)
    assert (await service.http.get(link)).status_code == 404


async def test_a_link_expires_and_is_the_same_for_a_while() -> None:
    time = 1_000_000.0
    links = AudioLinks(b"k" * 32, "http://localhost:8000", lambda: time)
    row = Synthesis(id="s", user_id="u", voice_key="v", text="t")
    first = urlsplit(links.synthesis(row))
    query = {name: values[0] for name, values in parse_qs(first.query).items()}
    time += 60
    assert urlsplit(links.synthesis(row)) == first
    time += LIFETIME - 60
    assert links.owner(first.path, query) == "u"
    time += 900
    assert links.owner(first.path, query) is None
    assert links.owner(first.path, {}) is None
    # Another secret signs otherwise.
    assert AudioLinks(b"j" * 32, "http://localhost:8000", lambda: 0.0).owner(first.path, query) is None


async def test_a_recording_is_heard_by_its_owner_until_it_is_deleted(service: Service, ann: Person) -> None:
    clone = await service.finished_clone(ann)
    sound = write_wav(tone(300.0, 1.0, 8000))
    blob = await service.studio.blobs.put(sound, "wav")
    row = Recording(user_id=ann.id, clone_id=clone.id, take=1, kept=True, blob=blob, seconds=1.0)
    async with service.studio.database.transaction() as unit:
        unit.add(row)
    query = "query ($id: ID!) { clone(id: $id) { recording { url seconds } } }"
    node_id = str(GlobalID("Clone", clone.id))
    url = (await service.ask(query, ann, id=node_id))["clone"]["recording"]["url"]
    link = url.removeprefix(service.settings.public_base_url)
    answer = await service.http.get(link)
    assert (answer.status_code, answer.headers["content-type"], answer.content) == (200, "audio/wav", sound)
    part = await service.http.get(link, headers={"Range": "bytes=0-43"})
    assert (part.status_code, part.content) == (206, sound[:44])

    await service.studio.blobs.delete(blob)
    assert (await service.http.get(link)).status_code == 404
    async with service.studio.database.transaction() as unit:
        (await unit.get_one(Recording, row.id)).blob = None
    assert (await service.http.get(link)).status_code == 404
    assert (await service.ask(query, ann, id=node_id))["clone"]["recording"] == {"url": None, "seconds": 1.0}
