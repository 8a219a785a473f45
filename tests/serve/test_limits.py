"""The door of a served page: sizes, rates, and what the browser may load."""

import asyncio
import json

import pytest

from foveate.errors import OptionError
from foveate.serve.limits import Door, Limits


class Page:
    """Answers everything with 200, and counts."""

    def __init__(self):
        self.answered = 0

    async def __call__(self, scope, receive, send):
        self.answered += 1
        await send({"type": "http.response.start", "status": 200, "headers": [(b"x-own", b"1")]})
        await send({"type": "http.response.body", "body": b"fine"})


def ask(door, path="/gradio_api/queue/join", *, method="POST", length=b"10", address="1.2.3.4"):
    """Return status, headers and body of the answer to one request."""
    sent = []

    async def send(message):
        sent.append(message)

    headers = [] if length is None else [(b"content-length", length)]
    scope = {"type": "http", "method": method, "path": path, "headers": headers, "client": (address, 1)}
    asyncio.run(door(scope, None, send))
    return sent[0]["status"], dict(sent[0]["headers"]), sent[1]["body"]


def test_one_address_may_ask_so_often_a_minute():
    clock = [0.0]
    page = Page()
    door = Door(page, Limits(per_minute=3), now=lambda: clock[0])
    assert [ask(door)[0] for _ in range(3)] == [200, 200, 200]
    status, _, body = ask(door)
    assert status == 429 and "More than 3 requests in a minute" in json.loads(body)["detail"]
    assert ask(door, address="5.6.7.8")[0] == 200  # somebody else
    assert ask(door, "/config", method="GET")[0] == 200  # does not ask the model
    clock[0] = 60.0
    assert ask(door)[0] == 200
    assert page.answered == 6


def test_addresses_are_forgotten():
    clock = [0.0]
    door = Door(Page(), Limits(), now=lambda: clock[0])
    for number in range(4097):
        ask(door, address=str(number))
    clock[0] = 61.0
    ask(door, address="new")
    assert list(door.asked) == ["new"]


@pytest.mark.parametrize(
    ("length", "status", "text"),
    [(b"20000000", 200, ""), (b"23000000", 413, "larger than 20 MB"), (None, 411, ""), (b"-1", 411, "")],
)
def test_a_body_that_is_too_large_is_refused_before_it_is_read(length, status, text):
    page = Page()
    found, _, body = ask(Door(page, Limits()), "/gradio_api/upload", length=length)
    assert found == status and text in body.decode()
    assert page.answered == (status == 200)


def test_the_browser_is_told_to_load_nothing_from_elsewhere():
    _, headers, _ = ask(Door(Page(), Limits()), "/", method="GET")
    policy = headers[b"content-security-policy"].decode()
    assert "default-src 'self'" in policy and "http" not in policy and "*" not in policy
    assert headers[b"x-own"] == b"1"


def test_a_limit_of_nothing_is_an_error():
    with pytest.raises(OptionError, match="per_minute"):
        Limits(per_minute=0)
