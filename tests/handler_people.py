"""People with names and scopes before a handler: by token, as programs come, and by password, as browsers do."""

from __future__ import annotations

import base64
import contextlib
import io
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import bcrypt
import msgspec

from handler_service import Handle, handling
from handler_world import TOKEN

PASSWORD = "a-password-of-the-tests-only"
SCOPES: Mapping[str, str] = {
    "root": "alert, read, operate, approve",
    "olga": "read, operate",
    "alex": "read, approve",
    "rita": "read",
}
"""Who may what. `root` holds the token of every test."""


@dataclass(frozen=True)
class Answer:
    """Status, headers and body of an answer."""

    status: int
    headers: Mapping[str, str]
    text: str

    @property
    def json(self) -> Any:
        """The body as JSON."""
        return msgspec.json.decode(self.text)


@dataclass(frozen=True)
class People:
    """A handler and those who may ask it."""

    handler: Handle

    async def ask(
        self,
        method: str,
        path: str,
        body: object = None,
        *,
        by: str = "root",
        form: Mapping[str, str] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> Answer:
        """Send JSON with a token, or a form with a password; redirects are not followed."""
        sent = {"Authorization": basic(by) if form is not None else f"Bearer {token(by)}"}
        data: object = None
        if form is not None:
            data = dict(form)
        elif body is not None:
            data, sent["Content-Type"] = io.BytesIO(msgspec.json.encode(body)), "application/json"
        request = self.handler.session.request(
            method, self.handler.url + path, data=data, headers={**sent, **(headers or {})}, allow_redirects=False
        )
        async with request as response:
            return Answer(response.status, response.headers, await response.text())


def token(name: str) -> str:
    """The token of a person."""
    return TOKEN if name == "root" else f"a-token-of-{name}-only"


def basic(name: str) -> str:
    """The header of a person's browser."""
    return "Basic " + base64.b64encode(f"{name}:{PASSWORD}".encode()).decode()


@contextlib.asynccontextmanager
async def serving_people(directory: Path, text: str) -> AsyncIterator[People]:
    """A handler with this configuration, and people before it."""
    stored = bcrypt.hashpw(PASSWORD.encode(), bcrypt.gensalt(4)).decode()
    users, principals = ["basic_auth_users:"], ["principals:"]
    for name, scopes in SCOPES.items():
        (directory / f"{name}.token").write_text(token(name))
        users.append(f"  {name}: '{stored}'")
        principals.append(f"- {{name: {name}, user: {name}, scopes: [{scopes}]}}")
        principals.append(f"- {{name: {name}.program, bearer_token_file: {name}.token, scopes: [{scopes}]}}")
    config = "\n".join([*users, *principals, ""])
    async with handling(directory, text, web=config) as handler:
        yield People(handler)
