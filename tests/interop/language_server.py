"""The YAML language server of editors, spoken to as an editor does (Language Server Protocol over standard input and output)."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Timer
from typing import IO, Any, Self

from tests.waiting import PATIENCE_S


class Editor:
    """An editor with files open.

    Args:
        to_server: the server's standard input.
        from_server: its standard output.
        folder: that is open.
    """

    def __init__(self, to_server: IO[bytes], from_server: IO[bytes], folder: Path) -> None:
        self._to, self._from = to_server, from_server
        self._number = 0
        self._diagnostics: dict[str, list[dict[str, Any]]] = {}
        documents = {"hover": {"contentFormat": ["plaintext"]}, "completion": {"completionItem": {}}}
        root = {"rootUri": folder.as_uri(), "workspaceFolders": [{"uri": folder.as_uri(), "name": "mesh"}]}
        self._ask("initialize", {"processId": None, "capabilities": {"textDocument": documents}, **root})
        self._send("initialized", {})

    def open(self, file: Path, text: str | None = None) -> Self:
        """Open a file, with another text than that on disk where one is given."""
        content = file.read_text(encoding="utf-8") if text is None else text
        document = {"uri": file.as_uri(), "languageId": "yaml", "version": 1, "text": content}
        self._send("textDocument/didOpen", {"textDocument": document})
        return self

    def problems(self, file: Path) -> list[str]:
        """Return what the server reports about a file that was opened, each with its line (from 1)."""
        while file.as_uri() not in self._diagnostics:
            self._receive()
        found = self._diagnostics[file.as_uri()]
        return [f"{each['range']['start']['line'] + 1}: {each['message']}" for each in found]

    def hover(self, file: Path, line: int, column: int) -> str:
        """Return what is shown for a position, both numbers from 1; "" for nothing."""
        found = self._ask("textDocument/hover", self._at(file, line, column))
        return (
            str(found["contents"]["value"] if isinstance(found["contents"], dict) else found["contents"])
            if found
            else ""
        )

    def completion(self, file: Path, line: int, column: int) -> set[str]:
        """Return the labels that are offered at a position."""
        found = self._ask("textDocument/completion", self._at(file, line, column))
        return {str(each["label"]) for each in (found["items"] if isinstance(found, dict) else found)}

    @staticmethod
    def _at(file: Path, line: int, column: int) -> dict[str, Any]:
        return {"textDocument": {"uri": file.as_uri()}, "position": {"line": line - 1, "character": column - 1}}

    def _ask(self, method: str, params: dict[str, Any]) -> Any:
        self._number += 1
        number = self._number
        self._write({"id": number, "method": method, "params": params})
        while True:
            message = self._receive()
            if message.get("id") == number and "method" not in message:
                assert "error" not in message, message
                return message["result"]

    def _send(self, method: str, params: dict[str, Any]) -> None:
        self._write({"method": method, "params": params})

    def _write(self, message: dict[str, Any]) -> None:
        content = json.dumps({"jsonrpc": "2.0", **message}).encode()
        self._to.write(b"Content-Length: %d\r\n\r\n%b" % (len(content), content))
        self._to.flush()

    def _receive(self) -> dict[str, Any]:
        """Return the next message, and answer it where the server asks for its configuration or the like."""
        length = 0
        while (line := self._from.readline().strip()) or not length:
            assert line or not self._from.closed, "the server ended"
            if line.lower().startswith(b"content-length:"):
                length = int(line.split(b":")[1])
        message: dict[str, Any] = json.loads(self._from.read(length))
        if message.get("method") == "textDocument/publishDiagnostics":
            self._diagnostics[message["params"]["uri"]] = message["params"]["diagnostics"]
        elif "method" in message and "id" in message:
            asked = message["params"].get("items", []) if message["method"] == "workspace/configuration" else None
            settings = {"validate": True, "hover": True, "completion": True, "schemaStore": {"enable": False}}
            answer = None if asked is None else [settings if each.get("section") == "yaml" else {} for each in asked]
            self._write({"id": message["id"], "result": answer})
        return message


@contextmanager
def editor(node: str, modules: Path, folder: Path) -> Iterator[Editor]:
    """An editor with a server of its own, which ends with it."""
    server = modules / "yaml-language-server" / "bin" / "yaml-language-server"
    command = [node, str(server), "--stdio"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as running:
        given_up = Timer(PATIENCE_S, running.kill)
        given_up.start()
        try:
            assert running.stdin is not None
            assert running.stdout is not None
            yield Editor(running.stdin, running.stdout, folder)
        finally:
            given_up.cancel()
            running.kill()
