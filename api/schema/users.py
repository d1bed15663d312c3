"""Users, how they sign in, and what is theirs."""

from __future__ import annotations

from datetime import datetime

import strawberry
from starlette.responses import Response

from api.context import Context, Info
from api.schema.calls import Call, CallConnection
from api.schema.clones import Clone, CloneConnection
from api.schema.errors import Payload, mutation
from api.schema.fields import field
from api.schema.nodes import After, First, Node, connection, global_id, key_of, size
from api.schema.scalars import PhoneNumber, given
from api.schema.syntheses import Synthesis, SynthesisConnection
from api.schema.voices import Voice, VoiceConnection
from studio import tables
from studio.mistakes import Mistake, MistakeCode


@strawberry.type(description="A key for programs: shown as Authorization: Bearer, it acts for its user.")
class ApiToken(Node):
    label: str = strawberry.field(description="What it is for.")
    created_at: datetime = strawberry.field(description="When it was made.")
    last_used_at: datetime | None = strawberry.field(description="When it was last used, to the minute.")

    @classmethod
    def of(cls, row: tables.Token) -> ApiToken:
        return cls(
            id=global_id("ApiToken", row.id),
            label=row.label,
            created_at=row.created_at,
            last_used_at=row.last_used_at,
        )


@strawberry.type(description="Somebody who signed up. Users see only themselves.")
class User(Node):
    email: str = strawberry.field(description="The address that they log in with.")
    phone: PhoneNumber | None = strawberry.field(description="The phone that rings by default.")
    phone_proven: bool = strawberry.field(description="Whether a call has shown that the phone is theirs.")
    row: strawberry.Private[tables.User]

    @field("Their cloned voices, newest first.")
    async def voices(self, info: Info, first: First = 50, after: After = strawberry.UNSET) -> VoiceConnection:
        owner = self.row.id
        page = await info.context.studio.voices.cloned(owner, size(first, 50), given(after))
        return connection(page, lambda view: Voice.of(view, owner))

    @field("What they cloned or tried to, newest first.")
    async def clones(self, info: Info, first: First = 20, after: After = strawberry.UNSET) -> CloneConnection:
        page = await info.context.studio.clones.page(self.row.id, size(first, 20), given(after))
        return connection(page, Clone.of)

    @field("Their phone calls, newest first.")
    async def calls(self, info: Info, first: First = 20, after: After = strawberry.UNSET) -> CallConnection:
        page = await info.context.studio.calls.page(self.row.id, size(first, 20), given(after))
        return connection(page, Call.of)

    @field("The texts that were spoken for them, newest first.")
    async def syntheses(self, info: Info, first: First = 20, after: After = strawberry.UNSET) -> SynthesisConnection:
        page = await info.context.studio.speech.page(self.row.id, size(first, 20), given(after))
        return connection(page, Synthesis.of)

    @field("Their API tokens, newest first.")
    async def api_tokens(self, info: Info) -> list[ApiToken]:
        return [ApiToken.of(row) for row in await info.context.studio.accounts.tokens(self.row.id)]

    @classmethod
    def of(cls, row: tables.User) -> User:
        return cls(
            id=global_id("User", row.id),
            email=row.email,
            phone=PhoneNumber(row.phone) if row.phone is not None else None,
            phone_proven=row.phone_proven_at is not None,
            row=row,
        )


async def find_user(info: Info, owner: str, key: str) -> User | None:
    row = await info.context.studio.accounts.user(key) if key == owner else None
    return User.of(row) if row is not None else None


async def find_token(info: Info, owner: str, key: str) -> ApiToken | None:
    row = await info.context.studio.accounts.token(owner, key)
    return ApiToken.of(row) if row is not None else None


@strawberry.type
class UserQueries:
    @field("Who is asking; null when not signed in.")
    async def viewer(self, info: Info) -> User | None:
        row = await info.context.viewer()
        return User.of(row) if row is not None else None


@strawberry.input(description="Who signs up.")
class SignUpInput:
    email: str = strawberry.field(description="An address of theirs.")
    password: str = strawberry.field(description="8 to 200 characters.")
    phone: PhoneNumber | None = strawberry.field(
        default=strawberry.UNSET, description="The phone that rings by default."
    )


@strawberry.input(description="Who logs in.")
class LogInInput:
    email: str = strawberry.field(description="The address that they signed up with.")
    password: str = strawberry.field(description="Their password.")


@strawberry.input(description="Where to log out.")
class LogOutInput:
    everywhere: bool | None = strawberry.field(
        default=False, description="In all browsers, not only this one. API tokens stay valid."
    )


@strawberry.input(description="Another phone.")
class SetPhoneInput:
    phone: PhoneNumber = strawberry.field(description="The phone that rings by default.")


@strawberry.input(description="What a new API token is for.")
class CreateApiTokenInput:
    label: str = strawberry.field(description="1 to 80 characters.")


@strawberry.input(description="Which API token to end.")
class RevokeApiTokenInput:
    id: strawberry.ID = strawberry.field(description="The token's id.")


@strawberry.input(description="That it is really you.")
class DeleteAccountInput:
    password: str = strawberry.field(description="Your password.")


@strawberry.type(description="The answer to `signUp`.")
class SignUpPayload(Payload):
    user: User | None = strawberry.field(default=None, description="The new user, signed in.")


@strawberry.type(description="The answer to `logIn`.")
class LogInPayload(Payload):
    user: User | None = strawberry.field(default=None, description="The user, signed in.")


@strawberry.type(description="The answer to `logOut`.")
class LogOutPayload(Payload):
    pass


@strawberry.type(description="The answer to `setPhone`.")
class SetPhonePayload(Payload):
    user: User | None = strawberry.field(default=None, description="The user as they are now.")


@strawberry.type(description="The answer to `createApiToken`.")
class CreateApiTokenPayload(Payload):
    token: ApiToken | None = strawberry.field(default=None, description="The token.")
    secret: str | None = strawberry.field(
        default=None, description="What to show as Authorization: Bearer. It is given this once."
    )


@strawberry.type(description="The answer to `revokeApiToken`.")
class RevokeApiTokenPayload(Payload):
    revoked_id: strawberry.ID | None = strawberry.field(
        default=None, description="The id of the token that is valid no more."
    )


@strawberry.type(description="The answer to `deleteAccount`.")
class DeleteAccountPayload(Payload):
    pass


@strawberry.type
class UserMutations:
    @mutation(SignUpPayload, "Make an account, and sign in: the answer sets the session cookie.")
    async def sign_up(self, info: Info, input: SignUpInput) -> SignUpPayload:
        context = info.context
        response = _cookie_carrier(context)
        await context.services.throttle.sign_up(context.client_address)
        row = await context.studio.accounts.sign_up(input.email, input.password, given(input.phone))
        await _open_session(context, row, response)
        return SignUpPayload(user=User.of(row))

    @mutation(LogInPayload, "Sign in: the answer sets the session cookie.")
    async def log_in(self, info: Info, input: LogInInput) -> LogInPayload:
        context = info.context
        response = _cookie_carrier(context)
        await context.services.throttle.log_in(context.client_address, input.email)
        row = await context.studio.accounts.log_in(input.email, input.password)
        await context.services.throttle.logged_in(input.email)
        await _open_session(context, row, response)
        return LogInPayload(user=User.of(row))

    @mutation(LogOutPayload, "End the session of this browser, or with `everywhere` all of the user's sessions.")
    async def log_out(self, info: Info, input: LogOutInput) -> LogOutPayload:
        context = info.context
        owner = await context.owner()
        credential = context.credential
        if input.everywhere:
            await context.studio.accounts.close_all_sessions(owner.id)
        elif credential is not None and credential.kind == "session":
            await context.studio.accounts.close_session(credential.secret)
        else:
            raise Mistake(
                MistakeCode.WRONG_STATE,
                "There is no session to end here: an API token ends with revokeApiToken, all sessions with everywhere.",
            )
        _forget_session(context)
        return LogOutPayload()

    @mutation(SetPhonePayload, "Set the phone that rings by default. Another number has to be proven anew.")
    async def set_phone(self, info: Info, input: SetPhoneInput) -> SetPhonePayload:
        owner = await info.context.owner()
        return SetPhonePayload(user=User.of(await info.context.studio.accounts.set_phone(owner.id, input.phone)))

    @mutation(CreateApiTokenPayload, "Make a key for a program.")
    async def create_api_token(self, info: Info, input: CreateApiTokenInput) -> CreateApiTokenPayload:
        owner = await info.context.owner()
        row, secret = await info.context.studio.accounts.create_token(owner.id, input.label)
        return CreateApiTokenPayload(token=ApiToken.of(row), secret=secret)

    @mutation(RevokeApiTokenPayload, "End an API token at once.")
    async def revoke_api_token(self, info: Info, input: RevokeApiTokenInput) -> RevokeApiTokenPayload:
        owner = await info.context.owner()
        await info.context.studio.accounts.revoke_token(owner.id, key_of("ApiToken", input.id))
        return RevokeApiTokenPayload(revoked_id=input.id)

    @mutation(
        DeleteAccountPayload,
        "Delete the account and everything that is the user's: voices here and at their providers, recordings here "
        "and at the carrier, syntheses, calls.",
    )
    async def delete_account(self, info: Info, input: DeleteAccountInput) -> DeleteAccountPayload:
        context = info.context
        owner = await context.owner()
        await context.services.throttle.log_in(context.client_address, owner.email)
        await context.studio.accounts.delete_account(owner.id, input.password)
        _forget_session(context)
        return DeleteAccountPayload()


def _cookie_carrier(context: Context) -> Response:
    if context.response is None:
        message = "Sign in over HTTP: a WebSocket cannot carry the session cookie back."
        raise Mistake(MistakeCode.NOT_ALLOWED, message)
    return context.response


async def _open_session(context: Context, user: tables.User, response: Response) -> None:
    previous = context.credential
    if previous is not None and previous.kind == "session":
        await context.studio.accounts.close_session(previous.secret)
    context.signed_in(user, await context.services.doorkeeper.open_session(user, response))


def _forget_session(context: Context) -> None:
    if context.response is not None:
        context.services.doorkeeper.forget_session(context.response)
    context.signed_in(None)
