"""What the REST API says of the account: in good order, with every number its own, and every country open."""

from __future__ import annotations

import hashlib
import re

from starlette.responses import JSONResponse, Response

from telephony.exchange.asked import Asked, page_of
from telephony.exchange.calls import API_VERSION

_COUNTRY = re.compile(r"[A-Z]{2}")


async def read_account(asked: Asked) -> Response:
    sid = asked.exchange.settings.account_sid
    return JSONResponse(
        {
            "sid": sid,
            "owner_account_sid": sid,
            "friendly_name": "The local exchange",
            "status": "active",
            "type": "Full",
            "date_created": None,
            "date_updated": None,
            "uri": f"/{API_VERSION}/Accounts/{sid}.json",
        }
    )


async def read_balance(asked: Asked) -> Response:
    """Calls cost nothing here."""
    return JSONResponse({"account_sid": asked.exchange.settings.account_sid, "balance": "100.00", "currency": "USD"})


async def list_numbers(asked: Asked) -> Response:
    """The one that is asked for, or those that calls have come from."""
    wanted = asked.query("PhoneNumber")
    numbers = [wanted] if wanted else sorted({call.instructions.caller for call in asked.exchange.calls})
    sid = asked.exchange.settings.account_sid
    found = [
        {
            "sid": "PN" + hashlib.sha256(number.encode()).hexdigest()[:32],
            "account_sid": sid,
            "phone_number": number,
            "friendly_name": number,
            "capabilities": {"voice": True, "sms": False, "mms": False, "fax": False},
            "status": "in-use",
        }
        for number in numbers
    ]
    return page_of(asked, "incoming_phone_numbers", found)


async def list_verified_numbers(asked: Asked) -> Response:
    """None needs to be verified."""
    return page_of(asked, "outgoing_caller_ids", [])


async def read_dialing_permissions(asked: Asked) -> Response:
    country = asked.request.path_params["country"]
    if not _COUNTRY.fullmatch(country):
        raise asked.not_found()
    return JSONResponse(
        {
            "iso_code": country,
            "name": country,
            "low_risk_numbers_enabled": True,
            "high_risk_special_numbers_enabled": False,
            "high_risk_tollfraud_numbers_enabled": False,
            "url": f"{asked.exchange.settings.base_url}{asked.request.url.path}",
        }
    )
