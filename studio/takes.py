"""A recorded take: brought over from the carrier, listened to, measured and cleaned."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import Executor
from typing import TypeVar

import structlog

from audio.clean import clean_if_it_helps
from audio.pcm import Pcm
from audio.quality import Quality, measure, warnings
from audio.vad import speech_seconds
from audio.wav import BadAudio, read_wav, write_wav
from studio.blobs import Blobs
from studio.database import Database
from studio.mistakes import FailureCode
from studio.moves import takes_of
from studio.ports import Carrier, CarrierUnavailable, RecordingNotThere, RecordingUnusable
from studio.retrying import retried
from studio.states import CloneStatus
from studio.tables import Clone, Recording, now

T = TypeVar("T")
_log = structlog.get_logger()


class Takes:
    """`threads` does the listening, heavy work that must not hold up the event loop. For `fetch_seconds` a recording
    that is not there, or not whole, is asked for again."""

    def __init__(
        self, database: Database, blobs: Blobs, carrier: Carrier, threads: Executor, fetch_seconds: float
    ) -> None:
        self._database = database
        self._blobs = blobs
        self._carrier = carrier
        self._threads = threads
        self._fetch_seconds = fetch_seconds

    async def judge(self, take_id: str, minimum_speech: float) -> None:
        """Fetch a take and say whether there is enough speech in it: sets `judged_at` and, if not, `problem`.

        May be called again after a crash: what has been fetched is not fetched twice.
        """
        async with self._database.reading() as session:
            take = await session.get_one(Recording, take_id)
        if take.judged_at is not None:
            return
        problem: FailureCode | None = None
        spoken = 0.0
        seconds = take.seconds
        blob = take.blob
        try:
            blob = blob or await self._fetch(take)
            pcm = read_wav(await self._blobs.get(blob))
            seconds = pcm.seconds
            spoken = await self._in_thread(speech_seconds, pcm)
            if spoken < minimum_speech:
                problem = FailureCode.TOO_LITTLE_SPEECH
        except (RecordingNotThere, CarrierUnavailable):
            problem = FailureCode.RECORDING_MISSING
        except (RecordingUnusable, BadAudio) as damaged:
            _log.warning("take.unusable", recording=take.id, problem=str(damaged))
            problem = FailureCode.RECORDING_UNUSABLE
        async with self._database.transaction() as unit:
            row = await unit.get_one(Recording, take_id)
            row.blob, row.seconds, row.speech_seconds, row.problem = blob, seconds, spoken, problem
            row.judged_at = now()
            unit.touch(f"clone:{row.clone_id}")

    async def analyze(self, take_id: str) -> None:
        """Measure a good take, and keep a cleaned copy beside it where cleaning helps."""
        async with self._database.reading() as session:
            take = await session.get_one(Recording, take_id)
        if take.blob is None:
            raise RuntimeError(f"recording {take_id} has not been fetched")
        pcm = read_wav(await self._blobs.get(take.blob))
        quality, cleaned = await self._in_thread(_measure_and_clean, pcm)
        cleaned_blob = await self._blobs.put(write_wav(cleaned), "wav") if cleaned is not None else None
        async with self._database.transaction() as unit:
            row = await unit.get_one(Recording, take_id)
            row.seconds, row.speech_seconds = quality.seconds, quality.speech_seconds
            row.signal_to_noise_db, row.clipped_fraction = quality.signal_to_noise_db, quality.clipped_fraction
            row.loudness_dbfs = quality.loudness_dbfs
            row.quality_score = quality.dnsmos.overall if quality.dnsmos is not None else None
            row.cleaned, row.cleaned_blob = cleaned_blob is not None, cleaned_blob
            row.warnings = list(warnings(quality))
            unit.touch(f"clone:{row.clone_id}")

    async def sound(self, take: Recording) -> tuple[Pcm, Pcm | None]:
        """A take as it was recorded, and cleaned if it was."""
        if take.blob is None:
            raise RuntimeError(f"recording {take.id} has not been fetched")
        recorded = read_wav(await self._blobs.get(take.blob))
        return recorded, read_wav(await self._blobs.get(take.cleaned_blob)) if take.cleaned_blob else None

    async def forget(self, clone_id: str) -> None:
        """Delete our copies of all takes but the one that a voice was made of."""
        async with self._database.reading() as session:
            clone = await session.get_one(Clone, clone_id)
            takes = await takes_of(session, clone_id)
        unused = [take for take in takes if not (take.kept and clone.status is CloneStatus.READY)]
        for blob in [blob for take in unused for blob in (take.blob, take.cleaned_blob) if blob is not None]:
            await self._blobs.delete(blob)
        async with self._database.transaction() as unit:
            for take in unused:
                row = await unit.get_one(Recording, take.id)
                row.blob = row.cleaned_blob = None

    async def _fetch(self, take: Recording) -> str:
        """The take's bytes, in a blob of ours. A recording appears seconds after it was spoken: 404 until then."""
        sid = take.sid
        if sid is None or take.absent:
            raise RecordingNotThere("the carrier has no recording of this take")
        data = await retried(
            lambda: self._carrier.fetch_recording(sid),
            # A file that was cut short may come whole the next time.
            passing=(RecordingNotThere, RecordingUnusable, CarrierUnavailable),
            seconds=self._fetch_seconds,
            longest_pause=5.0,
        )
        blob = await self._blobs.put(data, "wav")
        async with self._database.transaction() as unit:
            row = await unit.get_one(Recording, take.id)
            row.blob = blob
        return blob

    async def _in_thread(self, work: Callable[[Pcm], T], pcm: Pcm) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._threads, work, pcm)


def _measure_and_clean(pcm: Pcm) -> tuple[Quality, Pcm | None]:
    quality = measure(pcm)
    cleaned, helped = clean_if_it_helps(pcm, quality)
    return quality, cleaned if helped else None
