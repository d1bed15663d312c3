"""Text spoken in a voice."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import datetime
from typing import Annotated

import strawberry

from api.context import Info
from api.schema.errors import Failure, Payload, mutation
from api.schema.fields import field, subscription
from api.schema.nodes import Connection, Node, global_id, key_of, parse_id
from api.schema.scalars import Base64, describe, given
from api.schema.voices import Voice
from providers.contract import SpeechOptions
from studio import tables
from studio.mistakes import Mistake, MistakeCode
from studio.speech import SpeechPiece, SpeechProgress
from studio.states import AudioFormat, SynthesisStatus

describe(
    AudioFormat,
    name="AudioFormat",
    description="What an audio link sends.",
    WAV="16-bit mono WAV at the voice's own sample rate.",
    MP3="MP3, mono, 24 kHz, 64 kbit/s.",
    PCM_S16LE_24K="Signed 16-bit little-endian samples, mono, 24 kHz, without a header.",
    MULAW_8K="G.711 μ-law, 8 kHz, without a header, as telephone networks carry it.",
)
describe(
    SynthesisStatus,
    name="SynthesisStatus",
    description="How a synthesis stands.",
    QUEUED="It will begin in a moment.",
    SYNTHESIZING="It is being spoken; its audio can be heard as it grows.",
    DONE="All of it has been spoken.",
    FAILED="It ended badly: `failure` says why.",
    CANCELED="Its owner called it off.",
)


@strawberry.type(description="A text, spoken in a voice.")
class Synthesis(Node):
    text: str = strawberry.field(description="What is spoken.")
    format: AudioFormat = strawberry.field(description="What its audio link sends.")
    status: SynthesisStatus = strawberry.field(description="How it stands.")
    seconds: float | None = strawberry.field(description="How long it is, once it is DONE.")
    first_audio_ms: int | None = strawberry.field(description="From the request to the first piece of audio, in ms.")
    failure: Failure | None = strawberry.field(description="Why it ended badly; set when FAILED.")
    created_at: datetime = strawberry.field(description="When it was asked for.")
    row: strawberry.Private[tables.Synthesis]

    @field("Who speaks; null once that voice is deleted.")
    async def voice(self, info: Info) -> Voice | None:
        view = await info.context.loaders(self.row.user_id).voices.load(self.row.voice_key)
        return Voice.of(view, self.row.user_id) if view is not None else None

    @field(
        "A signed link that plays while the audio is still being made, and is seekable when DONE; null once deleted."
    )
    def audio_url(self, info: Info) -> str | None:
        return info.context.services.links.synthesis(self.row)

    @classmethod
    def of(cls, row: tables.Synthesis) -> Synthesis:
        return cls(
            id=global_id("Synthesis", row.id),
            text=row.text,
            format=row.format,
            status=row.status,
            seconds=row.seconds,
            first_audio_ms=row.first_audio_ms,
            failure=Failure.of(row),
            created_at=row.created_at,
            row=row,
        )


SynthesisConnection = Connection[Synthesis]


@strawberry.interface(description="What a synthesis streams; resume with `after`.")
class SynthesisEvent:
    cursor: int = strawberry.field(description="How many chunks there have been so far, this one included.")


@strawberry.type(description="How the synthesis stands now.")
class SynthesisProgress(SynthesisEvent):
    synthesis: Synthesis = strawberry.field(description="The synthesis.")


@strawberry.type(description="A piece of the speech. Chunks count 1, 2, 3 …")
class SpeechChunk(SynthesisEvent):
    pcm: Base64 = strawberry.field(description="Signed 16-bit little-endian mono samples.")
    sample_rate: int = strawberry.field(description="In Hz; the same for all chunks of a synthesis.")
    start_ms: float = strawberry.field(description="Where it begins, in ms from the start of the speech.")


async def find_synthesis(info: Info, owner: str, key: str) -> Synthesis | None:
    row = await info.context.studio.speech.get(owner, key)
    return Synthesis.of(row) if row is not None else None


@strawberry.type
class SynthesisQueries:
    @field("One of the viewer's syntheses.")
    async def synthesis(self, info: Info, id: strawberry.ID) -> Synthesis | None:
        owner = await info.context.owner()
        kind, key = parse_id(id)
        return await find_synthesis(info, owner.id, key) if kind == "Synthesis" else None


@strawberry.input(
    description="What a provider understands of it is in its documentation; "
    "what it cannot do is a userError, never ignored in silence."
)
class SynthesisOptions:
    speed: float | None = strawberry.field(default=strawberry.UNSET, description="1 is the voice's own speed.")
    temperature: float | None = strawberry.field(default=strawberry.UNSET, description="How varied the speech is.")
    top_p: float | None = strawberry.field(
        default=strawberry.UNSET, description="The part of the likelihood that is drawn from, 0 to 1."
    )
    seed: int | None = strawberry.field(default=strawberry.UNSET, description="The same seed gives the same speech.")


@strawberry.input(description="What to speak, and how.")
class SynthesizeInput:
    voice_id: strawberry.ID = strawberry.field(description="The voice's id.")
    text: str = strawberry.field(description="1 to 20,000 characters.")
    format: AudioFormat | None = strawberry.field(default=AudioFormat.WAV, description="What the audio link will send.")
    options: SynthesisOptions | None = strawberry.field(default=strawberry.UNSET, description="How to speak it.")


@strawberry.input(description="Which synthesis to call off.")
class CancelSynthesisInput:
    id: strawberry.ID = strawberry.field(description="The synthesis's id.")


@strawberry.input(description="Which synthesis to delete.")
class DeleteSynthesisInput:
    id: strawberry.ID = strawberry.field(description="The synthesis's id.")


@strawberry.type(description="The answer to `synthesize`.")
class SynthesizePayload(Payload):
    synthesis: Synthesis | None = strawberry.field(
        default=None, description="The synthesis: play its `audioUrl`, or follow it by its subscription."
    )


@strawberry.type(description="The answer to `cancelSynthesis`.")
class CancelSynthesisPayload(Payload):
    synthesis: Synthesis | None = strawberry.field(default=None, description="The synthesis, canceled.")


@strawberry.type(description="The answer to `deleteSynthesis`.")
class DeleteSynthesisPayload(Payload):
    deleted_id: strawberry.ID | None = strawberry.field(
        default=None, description="The id of the synthesis that is gone."
    )


@strawberry.type
class SynthesisMutations:
    @mutation(SynthesizePayload, "Speak a text. It begins at once and can be heard while it is being made.")
    async def synthesize(self, info: Info, input: SynthesizeInput) -> SynthesizePayload:
        owner = await info.context.owner()
        row = await info.context.studio.speech.start(
            owner.id,
            key_of("Voice", input.voice_id, "voice_id"),
            input.text,
            input.format or AudioFormat.WAV,
            _speech_options(given(input.options)),
        )
        return SynthesizePayload(synthesis=Synthesis.of(row))

    @mutation(CancelSynthesisPayload, "Call a synthesis off; what has been spoken stays.")
    async def cancel_synthesis(self, info: Info, input: CancelSynthesisInput) -> CancelSynthesisPayload:
        owner = await info.context.owner()
        row = await info.context.studio.speech.cancel(owner.id, key_of("Synthesis", input.id))
        return CancelSynthesisPayload(synthesis=Synthesis.of(row))

    @mutation(DeleteSynthesisPayload, "Delete a synthesis and its audio.")
    async def delete_synthesis(self, info: Info, input: DeleteSynthesisInput) -> DeleteSynthesisPayload:
        owner = await info.context.owner()
        await info.context.studio.speech.delete(owner.id, key_of("Synthesis", input.id))
        return DeleteSynthesisPayload(deleted_id=input.id)


@strawberry.type
class SynthesisSubscriptions:
    @subscription(
        "How it stands, then each piece as it is made and each change; completes after DONE, FAILED or CANCELED."
    )
    async def synthesis(
        self,
        info: Info,
        id: strawberry.ID,
        after: Annotated[
            int | None, strawberry.argument(description="The last cursor seen, to go on from there.")
        ] = strawberry.UNSET,
    ) -> AsyncIterator[SynthesisEvent]:
        owner = await info.context.owner()
        events = info.context.studio.speech.follow(owner.id, key_of("Synthesis", id), given(after) or 0)
        async for event in info.context.while_signed_in(events):
            yield _event(event)


def _event(event: SpeechProgress | SpeechPiece) -> SynthesisEvent:
    if isinstance(event, SpeechProgress):
        return SynthesisProgress(cursor=event.cursor, synthesis=Synthesis.of(event.synthesis))
    return SpeechChunk(
        cursor=event.cursor,
        pcm=Base64(event.pcm.to_int16()),
        sample_rate=event.pcm.rate,
        start_ms=event.start_ms,
    )


def _speech_options(options: SynthesisOptions | None) -> SpeechOptions:
    if options is None:
        return SpeechOptions()
    checked = SpeechOptions(given(options.speed), given(options.temperature), given(options.top_p), given(options.seed))
    bounds = {"speed": (0.25, 4.0), "temperature": (0.0, 2.0), "top_p": (0.0, 1.0)}
    for name, (least, most) in bounds.items():
        value = getattr(checked, name)
        if value is not None and not least <= value <= most:
            raise Mistake(MistakeCode.INVALID, f"It lies from {least:g} to {most:g}.", ("options", name))
    return checked
