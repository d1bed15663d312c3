"""The `deadringer` command. Heavy rooms are imported by the command that needs them."""

from __future__ import annotations

import os
import sys
from collections.abc import Coroutine
from pathlib import Path
from typing import Annotated, Any, NoReturn

import typer
import uvloop
from rich.console import Console

_PHONE = "+14155552671"
_EXCHANGE = "http://localhost:8001"
_SERVER = "http://localhost:8000"

app = typer.Typer(
    name="deadringer",
    help="Clone a voice over a phone call, and speak any text in it.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
_errors = Console(stderr=True, highlight=False)


def main() -> None:
    app()


@app.command()
def serve(
    host: Annotated[str | None, typer.Option(help="Address to listen on. [HOST; default 127.0.0.1]")] = None,
    port: Annotated[int | None, typer.Option(help="Port to listen on. [PORT; default 8000]")] = None,
    exchange: Annotated[
        bool | None,
        typer.Option(
            "--exchange/--no-exchange",
            help="Calls go through the local phone exchange. Default: yes if TWILIO_* are not set and only this "
            "machine can reach the service.",
        ),
    ] = None,
    exchange_port: Annotated[int, typer.Option(help="Port of the local exchange.")] = 8001,
) -> None:
    """Run the service: GraphQL with its playground at /graphql, telephone webhooks, audio links."""
    from api.logs import set_up_logs
    from api.settings import Settings, SettingsError, read_settings
    from deadringer.exchange import ExchangeError
    from deadringer.serving import serve as serving

    try:
        settings = read_settings(Settings, host=host, port=port, public_base_url=_public_base_url(port))
        set_up_logs(settings.log_level)
        _run(serving(settings, exchange=exchange, exchange_port=exchange_port))
    except (SettingsError, ExchangeError) as problem:
        _refuse(str(problem))


@app.command()
def doctor(
    offline: Annotated[bool, typer.Option("--offline", help="Ask neither Twilio nor a provider's service.")] = False,
) -> None:
    """Check what is set, missing, or out of reach, and say what to do about it. Spends nothing."""
    from deadringer.doctor import examine

    sys.exit(0 if _run(examine(live=not offline)) else 1)


@app.command()
def providers() -> None:
    """List the model providers, what each can do, and whether it can now."""
    from deadringer.listing import list_providers

    _run(list_providers())


@app.command()
def phone(
    number: Annotated[str, typer.Argument(help=f"The number that this phone has, such as {_PHONE}.")] = _PHONE,
    exchange: Annotated[str, typer.Option(help="Where the local exchange is.")] = _EXCHANGE,
    say: Annotated[
        list[Path] | None,
        typer.Option(help="WAV or FLAC file to speak into the recording. Given more than once: into the next ones."),
    ] = None,
    keys: Annotated[
        str | None,
        typer.Option(help="Keys to press, one item each time some are wanted: 1,1,1 agrees, stops, and keeps."),
    ] = None,
    machine: Annotated[bool, typer.Option("--machine", help="Be an answering machine.")] = False,
) -> None:
    """Answer calls of the local exchange: by hand, or by a script (--say, --keys, --machine)."""
    from audio.wav import BadAudio, read_audio_file
    from telephony.exchange.by_hand import run_by_hand
    from telephony.exchange.narration import describe
    from telephony.exchange.phone import PhoneError
    from telephony.exchange.protocol import PickedUpBy
    from telephony.exchange.scripted import Script, run_script

    def show(message: Any) -> None:
        words = describe(message)
        if words is not None:
            print(words, flush=True)

    try:
        if say is None and keys is None and not machine:
            _run(run_by_hand(exchange, number))
            return
        speech = [read_audio_file(path) for path in say or ()]
        answers: PickedUpBy = "machine" if machine else "human"
        script = Script(keys=tuple((keys or "").split(",")), speech=speech, picked_up_by=answers)
        _run(run_script(exchange, number, script, listener=show))
    except (PhoneError, BadAudio, OSError) as problem:
        _refuse(str(problem))


@app.command()
def say(
    text: Annotated[str, typer.Argument(help="What to say.")],
    voice: Annotated[
        str | None,
        typer.Option(
            help="A voice of this machine as PROVIDER:KEY, as `deadringer providers` lists them (default "
            "local:af_heart); with --token, the name or id of one that the service has for you."
        ),
    ] = None,
    out: Annotated[Path, typer.Option(help="The WAV file to write.")] = Path("speech.wav"),
    token: Annotated[
        str | None,
        typer.Option(
            envvar="DEADRINGER_TOKEN", help="API token: ask a running service instead of this machine's models."
        ),
    ] = None,
    server: Annotated[str, typer.Option(help="That service.")] = _SERVER,
) -> None:
    """Speak a text into a WAV file."""
    from deadringer.say import SayError, say_here, say_there

    try:
        if token is None:
            _run(say_here(text, voice or "local:af_heart", out))
        elif voice is None:
            _refuse("Which of your voices? Name it: --voice NAME")
        else:
            _run(say_there(server, token, text, voice, out))
    except SayError as problem:
        _refuse(str(problem))


@app.command()
def demo(
    out: Annotated[Path, typer.Option(help="The WAV file that the cloned voice is left in.")] = Path("demo.wav"),
    text: Annotated[str | None, typer.Option(help="What the cloned voice shall say.")] = None,
    recording: Annotated[
        Path | None, typer.Option(help="WAV or FLAC file of the caller, 20 to 60 s; by default a LibriVox reader.")
    ] = None,
) -> None:
    """Clone a voice by phone, unattended: service, exchange and caller, all on this machine."""
    from deadringer.demo import DemoError, tell

    try:
        _run(tell(out, text, recording))
    except DemoError as problem:
        _refuse(str(problem))


def _public_base_url(port: int | None) -> str | None:
    """Follows --port, unless it is set."""
    return None if port is None or os.environ.get("PUBLIC_BASE_URL") else f"http://localhost:{port}"


def _run(work: Coroutine[Any, Any, Any]) -> Any:
    try:
        return uvloop.run(work)
    except KeyboardInterrupt:
        sys.exit(130)


def _refuse(message: str) -> NoReturn:
    _errors.print(message, style="red", markup=False)
    sys.exit(2)
