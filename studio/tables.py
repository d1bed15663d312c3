"""The tables. Rows are the truth: whoever is told of a change reads them again.

Every row that belongs to somebody carries `user_id`; only the repositories read these tables, and they filter by it.
"""

from __future__ import annotations

import uuid
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any

from sqlalchemy import JSON, Dialect, Enum, Index, LargeBinary, TypeDecorator
from sqlalchemy import DateTime as SqlDateTime
from sqlmodel import Field, SQLModel

from studio.mistakes import FailureCode, words_for
from studio.states import AudioFormat, CallDirection, CallPurpose, CallStatus, CloneStatus, SynthesisStatus


def new_id() -> str:
    return uuid.uuid4().hex


def now() -> datetime:
    return datetime.now(UTC)


class UtcDateTime(TypeDecorator[datetime]):
    """A moment, always aware and in UTC: SQLite would drop the zone."""

    impl = SqlDateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        if value is not None and value.tzinfo is None:
            raise ValueError("a moment must carry its time zone")
        return value.astimezone(UTC) if value is not None else None

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        if value is None:
            return None
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)


def _text_of(kind: type[StrEnum]) -> Any:
    """An enumeration kept as text: a new member needs no change of the schema."""
    return Enum(kind, native_enum=False, length=32)


class Failing(SQLModel):
    """What may end badly: why, and whether trying again can help."""

    failure_code: str | None = None
    failure_message: str | None = None
    failure_retryable: bool = False

    def explain(self, code: FailureCode, message: str | None = None, retryable: bool | None = None) -> None:
        """Note why it ended badly; `message` and `retryable` only where they are not as usual."""
        usual, often = words_for(code)
        self.failure_code, self.failure_message = code.value, message or usual
        self.failure_retryable = often if retryable is None else retryable


class User(SQLModel, table=True):
    __tablename__ = "users"

    id: str = Field(default_factory=new_id, primary_key=True)
    email: str = Field(unique=True)
    password_hash: str
    phone: str | None = None
    phone_proven_at: datetime | None = Field(default=None, sa_type=UtcDateTime)
    # Set when its deletion began: nobody can sign in any more, and a workflow removes the rest.
    deleted_at: datetime | None = Field(default=None, sa_type=UtcDateTime)
    created_at: datetime = Field(default_factory=now, sa_type=UtcDateTime)


class Session(SQLModel, table=True):
    """A signed-in browser. Only the SHA-256 of its secret is kept."""

    __tablename__ = "sessions"

    secret_hash: str = Field(primary_key=True)
    user_id: str = Field(foreign_key="users.id", index=True, ondelete="CASCADE")
    created_at: datetime = Field(default_factory=now, sa_type=UtcDateTime)
    expires_at: datetime = Field(sa_type=UtcDateTime)


class Token(SQLModel, table=True):
    """An API token. Only the SHA-256 of its secret is kept."""

    __tablename__ = "tokens"

    id: str = Field(default_factory=new_id, primary_key=True)
    user_id: str = Field(foreign_key="users.id", index=True, ondelete="CASCADE")
    label: str
    secret_hash: str = Field(unique=True)
    created_at: datetime = Field(default_factory=now, sa_type=UtcDateTime)
    last_used_at: datetime | None = Field(default=None, sa_type=UtcDateTime)


class Call(Failing, table=True):
    __tablename__ = "calls"
    __table_args__ = (Index("calls_by_owner", "user_id", "created_at", "id"),)

    id: str = Field(default_factory=new_id, primary_key=True)
    user_id: str = Field(foreign_key="users.id", ondelete="CASCADE")
    purpose: CallPurpose = Field(sa_type=_text_of(CallPurpose))
    direction: CallDirection = Field(default=CallDirection.OUTBOUND, sa_type=_text_of(CallDirection))
    phone: str = Field(index=True)
    status: CallStatus = Field(default=CallStatus.QUEUED, sa_type=_text_of(CallStatus))
    sid: str | None = Field(default=None, unique=True)
    confirmation_code: str | None = None
    # Set and committed before the carrier is asked: a call that may have been placed is never placed again.
    placing_at: datetime | None = Field(default=None, sa_type=UtcDateTime)
    created_at: datetime = Field(default_factory=now, sa_type=UtcDateTime)
    started_at: datetime | None = Field(default=None, sa_type=UtcDateTime)
    ended_at: datetime | None = Field(default=None, sa_type=UtcDateTime)

    @property
    def seconds(self) -> float | None:
        """How long the call has been answered, once it is over."""
        if self.started_at is None or self.ended_at is None:
            return None
        return max(0.0, (self.ended_at - self.started_at).total_seconds())


class Clone(Failing, table=True):
    __tablename__ = "clones"
    __table_args__ = (Index("clones_by_owner", "user_id", "created_at", "id"),)

    id: str = Field(default_factory=new_id, primary_key=True)
    user_id: str = Field(foreign_key="users.id", ondelete="CASCADE")
    name: str
    provider: str
    status: CloneStatus = Field(default=CloneStatus.REQUESTED, sa_type=_text_of(CloneStatus))
    status_changed_at: datetime = Field(default_factory=now, sa_type=UtcDateTime)
    # None where the recording did not come by telephone
    call_id: str | None = Field(default=None, foreign_key="calls.id", unique=True)
    # Set and committed before the provider is asked: a voice that may have been made is looked for, not made again.
    making_at: datetime | None = Field(default=None, sa_type=UtcDateTime)
    voice_id: str | None = None
    # The clone that failed and of which this is the next try; it has only one.
    retry_of: str | None = Field(default=None, unique=True)
    created_at: datetime = Field(default_factory=now, sa_type=UtcDateTime)


class Consent(SQLModel, table=True):
    """Who agreed to what, when, and in which words they were asked."""

    __tablename__ = "consents"

    id: str = Field(default_factory=new_id, primary_key=True)
    user_id: str = Field(foreign_key="users.id", index=True, ondelete="CASCADE")
    clone_id: str = Field(foreign_key="clones.id", unique=True, ondelete="CASCADE")
    given_at: datetime = Field(default_factory=now, sa_type=UtcDateTime)
    how: str
    wording: str


class Recording(SQLModel, table=True):
    """One take: what the caller said between a beep and a key. `judged_at` is set once it has been listened to."""

    __tablename__ = "recordings"
    __table_args__ = (Index("recordings_by_take", "clone_id", "take", unique=True),)

    id: str = Field(default_factory=new_id, primary_key=True)
    user_id: str = Field(foreign_key="users.id", index=True, ondelete="CASCADE")
    clone_id: str = Field(foreign_key="clones.id", ondelete="CASCADE")
    take: int
    sid: str | None = Field(default=None, unique=True)
    created_at: datetime = Field(default_factory=now, sa_type=UtcDateTime)
    # The carrier's copy
    available_at: datetime | None = Field(default=None, sa_type=UtcDateTime)
    absent: bool = False
    deleted_there_at: datetime | None = Field(default=None, sa_type=UtcDateTime)
    # Our copy
    blob: str | None = None
    cleaned_blob: str | None = None
    judged_at: datetime | None = Field(default=None, sa_type=UtcDateTime)
    problem: str | None = None
    kept: bool = False
    # Of a clone that failed: how long our copy stays here for another try
    keep_until: datetime | None = Field(default=None, sa_type=UtcDateTime)
    seconds: float = 0.0
    speech_seconds: float = 0.0
    signal_to_noise_db: float = 0.0
    clipped_fraction: float = 0.0
    loudness_dbfs: float = 0.0
    quality_score: float | None = None
    cleaned: bool = False
    warnings: list[str] = Field(default_factory=list, sa_type=JSON)


class Artefact(SQLModel, table=True):
    """What a provider needs to speak in a cloned voice (`providers.contract.Artefact`)."""

    __tablename__ = "artefacts"

    id: str = Field(default_factory=new_id, primary_key=True)
    user_id: str = Field(foreign_key="users.id", index=True, ondelete="CASCADE")
    provider: str
    kind: str
    data: bytes = Field(sa_type=LargeBinary)


class Voice(SQLModel, table=True):
    """A cloned voice. Built-in voices have no row: their provider lists them."""

    __tablename__ = "voices"
    __table_args__ = (Index("voices_by_owner", "user_id", "created_at", "id"),)

    id: str = Field(default_factory=new_id, primary_key=True)
    user_id: str = Field(foreign_key="users.id", ondelete="CASCADE")
    name: str
    provider: str
    language: str | None = None
    similarity: float | None = None
    notes: list[str] = Field(default_factory=list, sa_type=JSON)
    clone_id: str = Field(unique=True)
    artefact_id: str = Field(foreign_key="artefacts.id")
    # Set when its deletion began: it is gone for its owner, and a workflow removes it everywhere.
    deleted_at: datetime | None = Field(default=None, sa_type=UtcDateTime)
    created_at: datetime = Field(default_factory=now, sa_type=UtcDateTime)


class Synthesis(Failing, table=True):
    """Text spoken in a voice. `voice_key` is a row of `voices`, or `provider:key` for a built-in voice."""

    __tablename__ = "syntheses"
    __table_args__ = (Index("syntheses_by_owner", "user_id", "created_at", "id"),)

    id: str = Field(default_factory=new_id, primary_key=True)
    user_id: str = Field(foreign_key="users.id", ondelete="CASCADE")
    voice_key: str
    text: str
    format: AudioFormat = Field(default=AudioFormat.WAV, sa_type=_text_of(AudioFormat))
    options: dict[str, Any] = Field(default_factory=dict, sa_type=JSON)
    status: SynthesisStatus = Field(default=SynthesisStatus.QUEUED, sa_type=_text_of(SynthesisStatus))
    sample_rate: int | None = None
    seconds: float | None = None
    first_audio_ms: int | None = None
    created_at: datetime = Field(default_factory=now, sa_type=UtcDateTime)


class Segment(SQLModel, table=True):
    """A piece of a synthesis, as it was made: signed 16-bit mono samples in a blob."""

    __tablename__ = "segments"

    synthesis_id: str = Field(foreign_key="syntheses.id", primary_key=True, ondelete="CASCADE")
    number: int = Field(primary_key=True)
    start_sample: int
    samples: int
    sample_rate: int
    blob: str


class UnclaimedFile(SQLModel, table=True):
    """A blob that was or is being written and that no row names yet; `studio.blobs` says what becomes of it."""

    __tablename__ = "unclaimed_files"

    key: str = Field(primary_key=True)
    created_at: datetime = Field(default_factory=now, sa_type=UtcDateTime)


class ReceivedWebhook(SQLModel, table=True):
    """A webhook as it came, kept before it was acted on. `key` is what makes a repeated delivery the same webhook."""

    __tablename__ = "received_webhooks"

    key: str = Field(primary_key=True)
    call_id: str = Field(index=True)
    kind: str
    parameters: dict[str, Any] = Field(default_factory=dict, sa_type=JSON)
    received_at: datetime = Field(default_factory=now, sa_type=UtcDateTime)
    answer: str | None = None


class Executor(SQLModel, table=True):
    """A process that runs workflows, and when it last said so (seconds since 1970 by its own clock: others only look
    whether it says something new).

    `life` is the fencing token: who takes a process for dead deletes its row; if it lives after all, it begins another.
    """

    __tablename__ = "executors"

    id: str = Field(primary_key=True)
    life: str = Field(default_factory=new_id)
    host: str
    pid: int
    seen: float
