"""Pushes lines to `mlcanary exporter` by HTTP.

Guarantee: lines count as sent only after a 2xx. What may have been stored although the answer was lost is sent
again: the exporter counts an id once, and an event once per id, so that changes nothing for records with an id.
"""

from __future__ import annotations

import contextlib
import http.client
import ssl
from urllib.parse import urlsplit

from mlcanary.client.sinks import Refused, Unsent

_TRY_AGAIN = {408, 425, 429}
_LONGEST_WAIT = 60.0
_LONGEST_ANSWER = 1 << 16


class HttpPush:
    """Posts to `<url>/v1/predictions` and `<url>/v1/labels` over one connection that is kept open.

    `token_file` is read for every batch, so that a token can be changed. Raises ValueError for a URL that cannot be
    used, OSError or ssl.SSLError for a `ca_file` that cannot.
    """

    def __init__(self, url: str, *, token_file: str | None, ca_file: str | None, timeout: float) -> None:
        parts = urlsplit(url)
        if parts.scheme not in {"http", "https"} or not parts.hostname or parts.query or parts.fragment:
            raise ValueError("target: a file, or a URL such as http://127.0.0.1:10877 without query or fragment")
        if "@" in parts.netloc:
            raise ValueError("target: no user or password in the URL; use token_file")
        self._host, self._port, self._prefix = parts.hostname, parts.port, parts.path.rstrip("/")
        self._tls = ssl.create_default_context(cafile=ca_file) if parts.scheme == "https" else None
        self._token_file = token_file
        self._timeout = timeout
        self._connection: http.client.HTTPConnection | None = None

    def send(self, kind: str, lines: bytes) -> None:
        """Post whole lines. Raises Unsent (nothing stored, or not known) or Refused (a 4xx that stays)."""
        headers = {"Content-Type": "application/x-ndjson"}
        kept_open = self._connection is not None
        try:
            if self._token_file is not None:
                with open(self._token_file, encoding="utf-8") as file:
                    headers["Authorization"] = f"Bearer {file.read().strip()}"
            try:
                status, retry_after, said = self._post(kind, lines, headers)
            except (http.client.RemoteDisconnected, ConnectionResetError, BrokenPipeError):
                self.close()
                if not kept_open:
                    raise
                # A connection that was idle for too long: the server has closed it, that says nothing about it now.
                status, retry_after, said = self._post(kind, lines, headers)
        except (OSError, http.client.HTTPException, ValueError) as error:
            self.close()
            raise Unsent(f"{self._place()}: {error or type(error).__name__}", lines) from error
        if 200 <= status < 300:
            return
        text = f"{self._place()}: {status} {said}"
        if status in _TRY_AGAIN or status >= 500:
            raise Unsent(text, lines, retry_after)
        raise Refused(text)

    def forget(self) -> None:
        """Close the inherited descriptor; the parent's connection stays open."""
        self.close()

    def close(self) -> None:
        """Close the connection."""
        connection, self._connection = self._connection, None
        if connection is not None:
            with contextlib.suppress(OSError):
                connection.close()

    def _post(self, kind: str, lines: bytes, headers: dict[str, str]) -> tuple[int, float, str]:
        """Status, seconds to wait, and how the answer begins."""
        connection = self._connection
        if connection is None:
            connection = self._connection = self._connect()
        connection.request("POST", f"{self._prefix}/v1/{kind}", body=lines, headers=headers)
        answer = connection.getresponse()
        said = answer.read(_LONGEST_ANSWER)
        if answer.will_close or not answer.isclosed():
            self.close()
        return answer.status, _seconds(answer.getheader("Retry-After")), said[:200].decode("utf-8", "replace").strip()

    def _connect(self) -> http.client.HTTPConnection:
        if self._tls is not None:
            return http.client.HTTPSConnection(self._host, self._port, timeout=self._timeout, context=self._tls)
        return http.client.HTTPConnection(self._host, self._port, timeout=self._timeout)

    def _place(self) -> str:
        return f"{self._host}:{self._port}" if self._port else self._host


def _seconds(retry_after: str | None) -> float:
    """Seconds of a Retry-After header; 0 for a date, which our own back-off covers.

    >>> _seconds("3"), _seconds("86400"), _seconds("Fri, 31 Dec 1999 23:59:59 GMT"), _seconds(None)
    (3.0, 60.0, 0.0, 0.0)
    """
    return min(float(retry_after), _LONGEST_WAIT) if retry_after is not None and retry_after.isdigit() else 0.0
