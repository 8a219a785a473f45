"""What a served page allows: the size of files, how often somebody may ask, and nothing from elsewhere.

``Door`` wraps the whole page, as ASGI middleware. It counts requests by address, refuses bodies that
are too large before they are read, and tells the browser to load nothing from another place.
"""

from __future__ import annotations

import json
import time
from collections import deque
from collections.abc import Awaitable, Callable, MutableMapping
from dataclasses import dataclass
from typing import Any

from foveate.options import whole

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[MutableMapping[str, Any], Receive, Send], Awaitable[None]]

MEGABYTE = 2**20  # bytes
_MINUTE = 60.0
_WRAPPING = MEGABYTE  # bytes of a request around its file
_MOST_ADDRESSES = 4096  # that are remembered
_OURS_ALONE = (
    "default-src 'self' 'unsafe-inline' 'unsafe-eval' data: blob:; connect-src 'self' data: blob:; "
    "object-src 'none'; base-uri 'self'; form-action 'self'"
)


@dataclass(frozen=True)
class Limits:
    """What a served page allows.

    Args:
        megabytes: Of a file.
        pixels: Of a picture; one with more is not decoded.
        per_minute: Requests from one address that upload something or ask the model.
        waiting: How many questions may wait; the model answers one at a time.
        pictures: How many pictures are judged at once.
    """

    megabytes: int = 20
    pixels: int = 50_000_000
    per_minute: int = 60
    waiting: int = 16
    pictures: int = 64

    def __post_init__(self) -> None:
        for name, value in vars(self).items():
            whole(name, value)


class Door:
    """Let requests through as far as the limits allow.

    Args:
        app: The page.
        limits: What it allows.
        now: A clock, in seconds.
    """

    def __init__(self, app: App, limits: Limits, now: Callable[[], float] = time.monotonic) -> None:
        self.app, self.limits, self.now = app, limits, now
        self.asked: dict[str, deque[float]] = {}

    async def __call__(self, scope: MutableMapping[str, Any], receive: Receive, send: Send) -> None:
        """Answer one request, or refuse it with a reason."""
        if scope["type"] != "http":
            return await self.app(scope, receive, send)
        refusal = self._refusal(scope) if scope["method"] == "POST" else None
        if refusal is not None:
            return await _refuse(send, *refusal)

        async def ours_alone(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [
                    *message.get("headers", ()),
                    (b"content-security-policy", _OURS_ALONE.encode()),
                    (b"referrer-policy", b"no-referrer"),
                    (b"x-content-type-options", b"nosniff"),
                ]
            await send(message)

        return await self.app(scope, receive, ours_alone)

    def _refusal(self, scope: MutableMapping[str, Any]) -> tuple[int, str] | None:
        """Return the status and the reason, if a request is refused."""
        limits, headers = self.limits, dict(scope["headers"])
        length = headers.get(b"content-length", b"")
        if not length.isdigit():
            return 411, "The request does not say how long it is."
        if int(length) > limits.megabytes * MEGABYTE + _WRAPPING:
            return 413, f"The file is larger than {limits.megabytes} MB. Make the picture smaller."
        if not scope["path"].endswith(("/upload", "/queue/join")):
            return None
        if not self._may_ask(str((scope.get("client") or ("",))[0])):
            return 429, f"More than {limits.per_minute} requests in a minute. Wait a little."
        return None

    def _may_ask(self, address: str) -> bool:
        now = self.now()
        if len(self.asked) > _MOST_ADDRESSES:
            self.asked = {who: times for who, times in self.asked.items() if now - times[-1] < _MINUTE}
        times = self.asked.setdefault(address, deque())
        while times and now - times[0] >= _MINUTE:
            times.popleft()
        if len(times) >= self.limits.per_minute:
            return False
        times.append(now)
        return True


async def _refuse(send: Send, status: int, reason: str) -> None:
    body = json.dumps({"detail": reason}).encode()
    headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
