"""Cloning a voice by a phone call, or from a file."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import datetime
from typing import Final

import strawberry

from api.context import Info
from api.schema.calls import Call
from api.schema.errors import Failure, Payload, mutation
from api.schema.fields import field, subscription
from api.schema.nodes import Connection, Node, global_id, key_of, parse_id
from api.schema.providers import Provider, provider_named
from api.schema.scalars import PhoneNumber, Upload, describe, given
from api.schema.voices import Voice
from studio import tables
from studio.states import CloneStatus

FILE_CONSENT: Final = (
    "The speaker was told that a voice which can say any text is made from this recording by the provider chosen here, "
    "and agreed to it."
)
"""What the sender of a file says with `consent`; it is kept with the clone."""

describe(
    CloneStatus,
    name="CloneStatus",
    description="How a clone stands.",
    REQUESTED="It begins in a moment.",
    CALLING="The carrier has been asked to place the call.",
    RINGING="The phone rings.",
    ANSWERED="The person hears what will happen, and is asked whether they agree.",
    RECORDING="The person agreed, and speaks.",
    REVIEWING="The recording is listened to; the person keeps it or records again.",
    RECORDED="The recording is kept.",
    ANALYZING="The recording is measured and, where that helps, cleaned.",
    CLONING="The provider makes the voice.",
    READY="The voice can speak.",
    FAILED="It ended badly: `failure` says why.",
    CANCELED="Its owner called it off.",
)


@strawberry.type(description="That the speaker agreed.")
class Consent:
    given_at: datetime = strawberry.field(description="When.")
    how: str = strawberry.field(description="By what: a key press in the call, or the word of who sent the file.")
    wording: str = strawberry.field(description="What they were told, or are said to have been told, word for word.")


@strawberry.type(description="What the voice is made from.")
class Recording:
    url: str | None = strawberry.field(description="A short-lived signed link; null once it is deleted.")
    seconds: float = strawberry.field(description="How long it is.")
    speech_seconds: float = strawberry.field(description="What voice-activity detection kept of it.")
    signal_to_noise_db: float = strawberry.field(description="How far the speech stands out of the background, in dB.")
    clipped_fraction: float = strawberry.field(description="The part of the samples that is cut off, 0 to 1.")
    quality_score: float | None = strawberry.field(description="Predicted mean opinion score, 1 to 5.")
    cleaned: bool = strawberry.field(description="Whether noise was removed before cloning.")
    warnings: list[str] = strawberry.field(description="What may make the voice worse, in words.")

    @classmethod
    def of(cls, row: tables.Recording, info: Info) -> Recording:
        return cls(
            url=info.context.services.links.recording(row) if row.blob is not None else None,
            seconds=row.seconds,
            speech_seconds=row.speech_seconds,
            signal_to_noise_db=row.signal_to_noise_db,
            clipped_fraction=row.clipped_fraction,
            quality_score=row.quality_score,
            cleaned=row.cleaned,
            warnings=row.warnings,
        )


@strawberry.type(description="The making of a voice from a phone call or a file.")
class Clone(Node):
    name: str = strawberry.field(description="The name that the voice will have.")
    status: CloneStatus = strawberry.field(description="How it stands.")
    status_changed_at: datetime = strawberry.field(description="Since when it stands so.")
    failure: Failure | None = strawberry.field(description="Why it ended badly; set when FAILED.")
    created_at: datetime = strawberry.field(description="When it was asked for.")
    row: strawberry.Private[tables.Clone]

    @field("Who makes the voice.")
    def provider(self, info: Info) -> Provider:
        return provider_named(info, self.row.provider)

    @field("The phone call; null if the recording is a file's, or was there from an earlier try.")
    async def call(self, info: Info) -> Call | None:
        if self.row.call_id is None:
            return None
        row = await info.context.loaders(self.row.user_id).calls.load(self.row.call_id)
        return Call.of(row) if row is not None else None

    @field("Set once the speaker has agreed.")
    async def consent(self, info: Info) -> Consent | None:
        row = await info.context.loaders(self.row.user_id).consents.load(self.row.id)
        return Consent(given_at=row.given_at, how=row.how, wording=row.wording) if row is not None else None

    @field("The take that was kept.")
    async def recording(self, info: Info) -> Recording | None:
        row = await info.context.loaders(self.row.user_id).recordings.load(self.row.id)
        return Recording.of(row, info) if row is not None else None

    @field("Set when READY; null again once it is deleted.")
    async def voice(self, info: Info) -> Voice | None:
        if self.row.voice_id is None:
            return None
        view = await info.context.loaders(self.row.user_id).voices.load(self.row.voice_id)
        return Voice.of(view, self.row.user_id) if view is not None else None

    @classmethod
    def of(cls, row: tables.Clone) -> Clone:
        return cls(
            id=global_id("Clone", row.id),
            name=row.name,
            status=row.status,
            status_changed_at=row.status_changed_at,
            failure=Failure.of(row),
            created_at=row.created_at,
            row=row,
        )


CloneConnection = Connection[Clone]


async def find_clone(info: Info, owner: str, key: str) -> Clone | None:
    row = await info.context.studio.clones.get(owner, key)
    return Clone.of(row) if row is not None else None


@strawberry.type
class CloneQueries:
    @field("One of the viewer's clones.")
    async def clone(self, info: Info, id: strawberry.ID) -> Clone | None:
        owner = await info.context.owner()
        kind, key = parse_id(id)
        return await find_clone(info, owner.id, key) if kind == "Clone" else None


@strawberry.input(description="Whom to call, and what to call the voice.")
class StartCloneInput:
    name: str = strawberry.field(description="The name that the voice will have: 1 to 80 characters.")
    phone: PhoneNumber | None = strawberry.field(
        default=strawberry.UNSET, description="Which phone rings; by default the viewer's."
    )
    provider: str | None = strawberry.field(
        default=strawberry.UNSET, description="Who makes the voice; by default DEFAULT_CLONE_PROVIDER."
    )


@strawberry.input(description="A recording of somebody, and what to call the voice.")
class CloneFromAudioInput:
    name: str = strawberry.field(description="The name that the voice will have: 1 to 80 characters.")
    audio: Upload = strawberry.field(
        description="WAV, MP3, M4A, OGG or FLAC, up to 32 MiB and 10 minutes; 20 to 30 seconds of speech are enough."
    )
    provider: str | None = strawberry.field(
        default=strawberry.UNSET, description="Who makes the voice; by default DEFAULT_CLONE_PROVIDER."
    )
    consent: bool = strawberry.field(description=f"It must be true, and says: “{FILE_CONSENT}”")


@strawberry.input(description="Which clone to try again.")
class RetryCloneInput:
    id: strawberry.ID = strawberry.field(description="The id of a clone that failed or was canceled.")


@strawberry.input(description="Which clone to call off.")
class CancelCloneInput:
    id: strawberry.ID = strawberry.field(description="The clone's id.")


@strawberry.type(description="The answer to `startClone`.")
class StartClonePayload(Payload):
    clone: Clone | None = strawberry.field(default=None, description="The clone: follow it by its subscription.")


@strawberry.type(description="The answer to `cloneFromAudio`.")
class CloneFromAudioPayload(Payload):
    clone: Clone | None = strawberry.field(default=None, description="The clone: follow it by its subscription.")


@strawberry.type(description="The answer to `retryClone`.")
class RetryClonePayload(Payload):
    clone: Clone | None = strawberry.field(default=None, description="The next try, which is a clone of its own.")


@strawberry.type(description="The answer to `cancelClone`.")
class CancelClonePayload(Payload):
    clone: Clone | None = strawberry.field(default=None, description="The clone, canceled.")


@strawberry.type
class CloneMutations:
    @mutation(StartClonePayload, "Call a phone, record the person who answers, and make a voice of it.")
    async def start_clone(self, info: Info, input: StartCloneInput) -> StartClonePayload:
        owner = await info.context.owner()
        row = await info.context.studio.clones.start(owner.id, input.name, given(input.phone), given(input.provider))
        return StartClonePayload(clone=Clone.of(row))

    @mutation(CloneFromAudioPayload, "Make a voice of a recording, which is sent along as a file.")
    async def clone_from_audio(self, info: Info, input: CloneFromAudioInput) -> CloneFromAudioPayload:
        owner = await info.context.owner()
        sound = await info.context.services.uploads.listen(input.audio)
        row = await info.context.studio.clones.from_audio(
            owner.id, input.name, sound, input.consent, FILE_CONSENT, given(input.provider)
        )
        return CloneFromAudioPayload(clone=Clone.of(row))

    @mutation(RetryClonePayload, "Try again, once: with the recording if it is still here, or else by another call.")
    async def retry_clone(self, info: Info, input: RetryCloneInput) -> RetryClonePayload:
        owner = await info.context.owner()
        row = await info.context.studio.clones.retry(owner.id, key_of("Clone", input.id))
        return RetryClonePayload(clone=Clone.of(row))

    @mutation(CancelClonePayload, "Call a clone off; its phone call is ended.")
    async def cancel_clone(self, info: Info, input: CancelCloneInput) -> CancelClonePayload:
        owner = await info.context.owner()
        row = await info.context.studio.clones.cancel(owner.id, key_of("Clone", input.id))
        return CancelClonePayload(clone=Clone.of(row))


@strawberry.type
class CloneSubscriptions:
    @subscription("The present state at once, then every change; completes after READY, FAILED or CANCELED.")
    async def clone(self, info: Info, id: strawberry.ID) -> AsyncIterator[Clone]:
        owner = await info.context.owner()
        rows = info.context.studio.clones.follow(owner.id, key_of("Clone", id))
        async for row in info.context.while_signed_in(rows):
            yield Clone.of(row)
