"""A real Chromium, driven by its own protocol over a websocket: keys, what it loaded, what it shows.

Source: https://chromedevtools.github.io/devtools-protocol/ (domains Page, Input, Network, Runtime, Target).
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import subprocess
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp
import msgspec

from handler_world import running, until

BINARY = "chromium"
_FLAGS = (
    "--headless=new",
    "--no-sandbox",  # as root there is none, and the only pages are ours
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--no-first-run",
    "--disable-extensions",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--mute-audio",
    "--remote-debugging-port=0",
    "--window-size=1100,900",
)
_KEYS = {
    "Tab": ("Tab", 9, ""),
    "Enter": ("Enter", 13, "\r"),
    "Space": ("Space", 32, " "),
    "Down": ("ArrowDown", 40, ""),
}
_FOCUS = """(() => {
  const e = document.activeElement;
  if (!e || e === document.body) return null;
  const label = e.id ? document.querySelector(`label[for="${e.id}"]`) : null;
  const box = e.getBoundingClientRect();
  return {
    tag: e.tagName.toLowerCase(),
    text: (label || e).textContent.trim(),
    outline: getComputedStyle(e).outlineStyle,
    form: e.form ? e.form.querySelector('legend').textContent : '',
    shown: box.width > 0 && box.height > 0
  };
})()"""


@dataclass
class Tab:
    """One page. `requests` are the addresses of everything that it asked for."""

    socket: aiohttp.ClientWebSocketResponse
    session: str = ""
    requests: list[str] = field(default_factory=list)
    loads: int = 0
    errors: list[str] = field(default_factory=list)
    _answers: dict[int, asyncio.Future[Any]] = field(default_factory=dict)
    _number: int = 0

    async def call(self, method: str, **parameters: object) -> Any:
        """The result of a command of the protocol."""
        self._number += 1
        answer: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        self._answers[self._number] = answer
        message = {"id": self._number, "method": method, "params": parameters}
        if self.session:
            message["sessionId"] = self.session
        await self.socket.send_str(msgspec.json.encode(message).decode())
        return await asyncio.wait_for(answer, 30)

    async def listen(self) -> None:
        """Take in what the browser says, until it ends."""
        async for message in self.socket:
            told = msgspec.json.decode(message.data)
            if "id" in told:
                answer = self._answers.pop(told["id"])
                if "error" in told:
                    answer.set_exception(AssertionError(told["error"]["message"]))
                else:
                    answer.set_result(told["result"])
            elif told["method"] == "Network.requestWillBeSent":
                self.requests.append(told["params"]["request"]["url"])
            elif told["method"] == "Page.loadEventFired":
                self.loads += 1
            elif told["method"] == "Log.entryAdded" and told["params"]["entry"]["level"] == "error":
                self.errors.append(told["params"]["entry"]["text"])

    async def open(self, url: str) -> None:
        """Go to a page and wait until it has loaded."""
        before = self.loads
        await self.call("Page.navigate", url=url)
        await until(lambda: self.loads > before)

    async def value(self, expression: str) -> Any:
        """The value of an expression on the page."""
        return (await self.call("Runtime.evaluate", expression=expression, returnByValue=True))["result"].get("value")

    async def text(self) -> str:
        """What a person reads."""
        return str(await self.value("document.body.innerText"))

    async def shows(self, text: str) -> None:
        """Wait until the page says this."""

        async def said() -> bool:
            return text in await self.text()

        await until(said)

    async def press(self, key: str) -> None:
        """One key down and up."""
        code, number, typed = _KEYS[key]
        name = " " if key == "Space" else code
        common = {"key": name, "code": code, "windowsVirtualKeyCode": number}
        await self.call("Input.dispatchKeyEvent", type="keyDown", **common, **({"text": typed} if typed else {}))
        await self.call("Input.dispatchKeyEvent", type="keyUp", **common)

    async def type(self, text: str) -> None:
        """Text into the control that has the focus."""
        for character in text:
            await self.call("Input.dispatchKeyEvent", type="keyDown", text=character, key=character)
            await self.call("Input.dispatchKeyEvent", type="keyUp", key=character)

    async def focus(self) -> dict[str, Any]:
        """What has the focus: tag, text (of its label), its form's legend, whether its outline is drawn."""
        return await self.value(_FOCUS) or {}

    async def tab_to(self, text: str, form: str = "", *, most: int = 80) -> None:
        """Press Tab until the control with this text has the focus, visibly."""
        for _ in range(most):
            await self.press("Tab")
            found = await self.focus()
            if found.get("text", "").startswith(text) and found.get("form", "").startswith(form):
                assert found["shown"], found
                assert found["outline"] != "none", found
                return
        raise AssertionError(f"Tab never comes to {text!r} in {form!r}: {await self.text()}")

    async def follow(self, key: str) -> None:
        """Press a key that leads to another page, and wait for that."""
        before = self.loads
        await self.press(key)
        await until(lambda: self.loads > before)

    async def screenshot(self, path: Path, *, dark: bool = False) -> None:
        """The whole page as PNG."""
        scheme = [{"name": "prefers-color-scheme", "value": "dark" if dark else "light"}]
        await self.call("Emulation.setEmulatedMedia", features=scheme)
        found = await self.call("Page.captureScreenshot", format="png", captureBeyondViewport=True)
        path.write_bytes(base64.b64decode(found["data"]))  # noqa: ASYNC240 - nothing else runs meanwhile


@contextlib.asynccontextmanager
async def browsing(directory: Path) -> AsyncIterator[Tab]:
    """A browser with an empty profile in `directory`, and one page in it."""
    profile = directory / "chromium"
    argv = [BINARY, *_FLAGS, f"--user-data-dir={profile}", "about:blank"]
    with running(argv, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL):
        told = profile / "DevToolsActivePort"
        await until(lambda: told.exists() and told.read_text().count("\n") == 1)
        port, path = told.read_text().split("\n")
        async with (
            aiohttp.ClientSession() as client,
            client.ws_connect(f"ws://127.0.0.1:{port}{path}", max_msg_size=0) as socket,
        ):
            tab = Tab(socket)
            listener = asyncio.create_task(tab.listen())
            try:
                targets = (await tab.call("Target.getTargets"))["targetInfos"]
                name = next(target["targetId"] for target in targets if target["type"] == "page")
                tab.session = (await tab.call("Target.attachToTarget", targetId=name, flatten=True))["sessionId"]
                for domain in ("Page", "Network", "Runtime", "Log"):
                    await tab.call(f"{domain}.enable")
                yield tab
            finally:
                listener.cancel()
