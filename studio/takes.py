"""A recorded take: brought over from the carrier, listened to, measured and cleaned."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import timedelta

import structlog

from audio.pcm import Pcm
from audio.quality import warnings
from audio.vad import Segment
from audio.wav import BadAudio, read_wav, write_wav
from studio.analysis import Findings
from studio.blobs import STORAGE_SECONDS, Blobs
from studio.database import Database
from studio.listening import Listeners
from studio.mistakes import FailureCode
from studio.moves import takes_of
from studio.ports import Carrier, CarrierUnavailable, RecordingNotThere, RecordingUnusable
from studio.retrying import retried
from studio.states import CloneStatus
from studio.tables import Clone, Recording, now

KEPT_FOR = timedelta(days=7)
"""How long the recording of a clone that failed stays here, for another try."""
_LENGTH_SECONDS = 2.0  # by so much, or such a part, a sound's length may differ from what the carrier said of it
_LENGTH_PART = 0.1
_log = structlog.get_logger()


class Takes:
    """For `fetch_seconds` a recording that is not there, or not whole, is asked for again.

    A take is analysed as soon as it is known to hold speech, while its caller is still asked whether to keep it: that
    is lost if the take is recorded over, or the process dies, and done again if it is needed. Close it with `aclose`.
    """

    def __init__(
        self, database: Database, blobs: Blobs, carrier: Carrier, listeners: Listeners, fetch_seconds: float
    ) -> None:
        self._database = database
        self._blobs = blobs
        self._carrier = carrier
        self._listeners = listeners
        self._fetch_seconds = fetch_seconds
        self._analyses: dict[str, asyncio.Task[Findings]] = {}  # begun, and not asked for yet; by take

    async def aclose(self) -> None:
        begun = list(self._analyses.values())
        self._drop(list(self._analyses))
        await asyncio.gather(*begun, return_exceptions=True)

    async def judge(self, take_id: str, minimum_speech: float) -> None:
        """Fetch a take and say whether there is enough speech in it: sets `judged_at` and, if not, `problem`.

        May be called again after a crash: what has been fetched is not fetched twice.
        """
        async with self._database.reading() as session:
            take = await session.get_one(Recording, take_id)
        if take.judged_at is not None:
            return
        problem: FailureCode | None = None
        speech: list[Segment] = []
        pcm: Pcm | None = None
        blob = take.blob
        try:
            blob = blob or await self._fetch(take)
            pcm = await self._read(blob)
            speech = await self._listeners.speech(pcm)
            if _seconds(speech) < minimum_speech:
                problem = FailureCode.TOO_LITTLE_SPEECH
        except (RecordingNotThere, CarrierUnavailable):
            problem = FailureCode.RECORDING_MISSING
        except (RecordingUnusable, BadAudio) as damaged:
            _log.warning("take.unusable", recording=take.id, problem=str(damaged))
            problem = FailureCode.RECORDING_UNUSABLE
        async with self._database.transaction() as unit:
            row = await unit.get_one(Recording, take_id)
            row.blob, row.speech_seconds, row.problem = blob, _seconds(speech), problem
            if pcm is not None:
                row.seconds = pcm.seconds
            row.judged_at = now()
            unit.touch(f"clone:{row.clone_id}")
        if pcm is not None and problem is None:
            self._analyses[take_id] = asyncio.create_task(self._listeners.analysis(pcm, speech))

    async def analyze(self, take_id: str) -> None:
        """Measure a good take, and keep a cleaned copy beside it where cleaning helps."""
        async with self._database.reading() as session:
            take = await session.get_one(Recording, take_id)
        found = await self._findings(take)
        quality = found.quality
        cleaned_blob = None
        if found.cleaned is not None:
            sound = await asyncio.to_thread(write_wav, found.cleaned)
            cleaned_blob = await self._blobs.put(sound, "wav", STORAGE_SECONDS)
        async with self._database.transaction() as unit:
            row = await unit.get_one(Recording, take_id)
            row.seconds, row.speech_seconds = quality.seconds, quality.speech_seconds
            row.signal_to_noise_db, row.clipped_fraction = quality.signal_to_noise_db, quality.clipped_fraction
            row.loudness_dbfs = quality.loudness_dbfs
            row.quality_score = quality.dnsmos.overall if quality.dnsmos is not None else None
            if cleaned_blob is not None:
                await self._blobs.claim(unit, cleaned_blob)
            replaced = row.cleaned_blob  # of an earlier analysis, when the step runs again or the clone is tried again
            row.cleaned, row.cleaned_blob = cleaned_blob is not None, cleaned_blob
            row.warnings = list(warnings(quality))
            unit.touch(f"clone:{row.clone_id}")
        if replaced is not None:
            await self._blobs.delete(replaced)

    async def sound(self, take: Recording) -> tuple[Pcm, Pcm | None]:
        """A take as it was recorded, and cleaned if it was."""
        if take.blob is None:
            raise RuntimeError(f"recording {take.id} has not been fetched")
        return await self._read(take.blob), await self._read(take.cleaned_blob) if take.cleaned_blob else None

    async def forget(self, clone_id: str) -> None:
        """Delete our copies of all takes but the one that a voice was made of, or may yet be made of (`KEPT_FOR`)."""
        async with self._database.reading() as session:
            clone = await session.get_one(Clone, clone_id)
            takes = await takes_of(session, clone_id)
        good = [
            take for take in takes if take.kept and take.problem is None and clone.status is not CloneStatus.CANCELED
        ]
        unused = [take for take in takes if take not in good]
        self._drop([take.id for take in takes])
        for blob in [blob for take in unused for blob in (take.blob, take.cleaned_blob) if blob is not None]:
            await self._blobs.delete(blob)
        async with self._database.transaction() as unit:
            for take in unused:
                row = await unit.get_one(Recording, take.id)
                row.blob = row.cleaned_blob = None
            for take in good:
                row = await unit.get_one(Recording, take.id, with_for_update=True)
                if clone.status is CloneStatus.FAILED and row.clone_id == clone_id:  # not in use by the next try
                    row.keep_until = now() + KEPT_FOR

    async def _findings(self, take: Recording) -> Findings:
        begun = self._analyses.pop(take.id, None)
        if begun is not None:
            return await begun
        if take.blob is None:
            raise RuntimeError(f"recording {take.id} has not been fetched")
        pcm = await self._read(take.blob)
        return await self._listeners.analysis(pcm, await self._listeners.speech(pcm))

    def _drop(self, take_ids: Sequence[str]) -> None:
        """Nobody will ask for these analyses."""
        for take_id in take_ids:
            begun = self._analyses.pop(take_id, None)
            if begun is not None:
                begun.cancel()

    async def _fetch(self, take: Recording) -> str:
        """The take's bytes, in a blob of ours. A sound of another length than the carrier said is not what was recorded
        (a wrong sample rate, say): it is fetched once more.

        Raises:
            RecordingNotThere, RecordingUnusable, CarrierUnavailable
            BadAudio
        """
        sid = take.sid
        if sid is None or take.absent:
            raise RecordingNotThere("the carrier has no recording of this take")
        data = await self._download(take.clone_id, sid)
        if not await asyncio.to_thread(_lasts, data, take.seconds):
            data = await self._download(take.clone_id, sid)
            if not await asyncio.to_thread(_lasts, data, take.seconds):
                raise RecordingUnusable(f"its sound does not last the {take.seconds:.0f} s that were recorded")
        blob = await self._blobs.put(data, "wav", STORAGE_SECONDS)
        async with self._database.transaction() as unit:
            row = await unit.get_one(Recording, take.id)
            await self._blobs.claim(unit, blob)
            row.blob = blob
        return blob

    async def _download(self, clone_id: str, sid: str) -> bytes:
        """A recording appears seconds after it was spoken: 404 until then. The carrier's word that it is there is not
        slept through."""
        with self._database.hub.watch(f"clone:{clone_id}") as watch:
            return await retried(
                lambda: self._carrier.fetch_recording(sid),
                # A file that was cut short may come whole the next time.
                passing=(RecordingNotThere, RecordingUnusable, CarrierUnavailable),
                seconds=self._fetch_seconds,
                longest_pause=5.0,
                sleep=watch.changed,
            )

    async def _read(self, blob: str) -> Pcm:
        return await asyncio.to_thread(read_wav, await self._blobs.get(blob))


def _seconds(speech: Sequence[Segment]) -> float:
    return sum(segment.seconds for segment in speech)


def _lasts(data: bytes, seconds: float) -> bool:
    """Whether a WAV file's sound is as long as the carrier said; 0 where it said nothing."""
    return seconds == 0 or abs(read_wav(data).seconds - seconds) <= max(_LENGTH_SECONDS, _LENGTH_PART * seconds)
