"""``serve``: a small local site. Drop a folder or paste a YAML, see the verdict, edit, download.

Only the standard library; nothing leaves the machine and nothing is written. A page of another
site cannot use it: the Host header must name this server, and posts must be JSON.
"""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Callable
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Final
from urllib.parse import urlsplit

from flambeau.openness.components import CLASS_LABELS, CLASSES, ROMAN
from flambeau.openness.errors import OpennessError, as_list
from flambeau.openness.exports import badges
from flambeau.openness.form import apply_form, form_of
from flambeau.openness.inspection import Inspection, inspect
from flambeau.openness.licenses import current_table
from flambeau.openness.model import parse_model
from flambeau.openness.report import TEMPLATES, make_report, render
from flambeau.openness.tree import Upload

MAXIMUM_BODY: Final = 64 << 20
MAXIMUM_UPLOADED_FILES: Final = 20_000

_POLICY: Final = (
    "default-src 'none'; style-src 'unsafe-inline'; script-src 'self'; connect-src 'self'; "
    "img-src data: blob:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)


class RefusedError(Exception):
    """A request that is not answered, with its HTTP status."""

    def __init__(self, status: HTTPStatus, message: str) -> None:
        super().__init__(message)
        self.status = status


def evaluate_request(body: dict[str, Any]) -> dict[str, Any]:
    """The verdict about the YAML of a request."""
    return _answer(_text(body, "yaml"), _profile(body), None)


def form_request(body: dict[str, Any]) -> dict[str, Any]:
    """The YAML with the form's changes, and its verdict."""
    form = body.get("form")
    if not isinstance(form, dict):
        raise OpennessError("a form was expected")
    return _answer(apply_form(_text(body, "yaml"), form), _profile(body), None)


def inspect_request(body: dict[str, Any]) -> dict[str, Any]:
    """What the dropped files show: a proposed YAML with evidence, and its verdict."""
    files = as_list(body.get("files"))
    if len(files) > MAXIMUM_UPLOADED_FILES:
        raise OpennessError(f"more than {MAXIMUM_UPLOADED_FILES} files")
    contents: dict[str, tuple[int, bytes]] = {}
    for file in files:
        try:
            path = str(file["path"]).strip("/")
            contents[path] = (int(file["size"]), base64.b64decode(file["head"], validate=True))
        except (KeyError, TypeError, ValueError, binascii.Error) as error:
            raise OpennessError(f"a file of the request is damaged: {error}") from error
    inspection = inspect(Upload(str(body.get("name") or "model"), contents), current_table())
    return _answer(inspection.yaml, _profile(body), inspection)


def _answer(text: str, profile: str, inspection: Inspection | None) -> dict[str, Any]:
    model = parse_model(text, "model file")
    report = make_report(model, profile, current_table(), inspection)
    return {
        "yaml": text,
        "form": form_of(model),
        "report": report.as_json(),
        "html": render("body.html", report=report, badges=badges(report.verdict)),
        "page": report.as_html(),
    }


def _text(body: dict[str, Any], key: str) -> str:
    value = body.get(key)
    if not isinstance(value, str):
        raise OpennessError(f"{key!r} must be text")
    return value


def _profile(body: dict[str, Any]) -> str:
    return "strict" if body.get("profile") == "strict" else "mot"


ROUTES: Final[dict[str, Callable[[dict[str, Any]], dict[str, Any]]]] = {
    "/api/evaluate": evaluate_request,
    "/api/form": form_request,
    "/api/inspect": inspect_request,
}


class Handler(BaseHTTPRequestHandler):
    """Answers one request."""

    server_version = "flambeau-openness"
    protocol_version = "HTTP/1.1"
    timeout = 30
    bound_host = "127.0.0.1"

    def do_GET(self) -> None:
        pages = {
            "/": ("site.html", "text/html; charset=utf-8"),
            "/site.js": ("site.js", "text/javascript; charset=utf-8"),
        }
        try:
            self._check_host()
            name = urlsplit(self.path).path
            if name == "/favicon.ico":
                self._send(HTTPStatus.NO_CONTENT, b"", "image/x-icon")
                return
            if name not in pages:
                raise RefusedError(HTTPStatus.NOT_FOUND, "no such page")
            template, kind = pages[name]
            if template.endswith(".js"):
                content = (TEMPLATES / template).read_text("utf-8")
            else:
                content = render(template, classes=CLASSES, labels=CLASS_LABELS, roman=ROMAN)
            self._send(HTTPStatus.OK, content.encode(), kind)
        except RefusedError as refused:
            self._fail(refused.status, str(refused))

    def do_POST(self) -> None:
        try:
            self._check_host()
            route = ROUTES.get(urlsplit(self.path).path)
            if route is None:
                raise RefusedError(HTTPStatus.NOT_FOUND, "no such address")
            answer = route(self._body())
        except RefusedError as refused:
            self._fail(refused.status, str(refused))
        except (OpennessError, ModuleNotFoundError) as error:
            self._fail(HTTPStatus.UNPROCESSABLE_ENTITY, str(error))
        else:
            content = json.dumps(answer).encode()
            self._send(HTTPStatus.OK, content, "application/json")

    def _check_host(self) -> None:
        host = urlsplit(f"//{self.headers.get('Host', '')}").hostname
        bound = self.bound_host
        listens_to_all = bound in ("0.0.0.0", "::")
        if not listens_to_all and host not in ("localhost", "127.0.0.1", "::1", bound):
            raise RefusedError(HTTPStatus.FORBIDDEN, "this server answers to its own name only")

    def _body(self) -> dict[str, Any]:
        if self.headers.get_content_type() != "application/json":
            raise RefusedError(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, "JSON was expected")
        length = self.headers.get("Content-Length", "")
        if not length.isdigit():
            raise RefusedError(HTTPStatus.LENGTH_REQUIRED, "a Content-Length was expected")
        if int(length) > MAXIMUM_BODY:
            self.close_connection = True
            raise RefusedError(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, "the folder is too large")
        try:
            body = json.loads(self.rfile.read(int(length)))
        except (ValueError, RecursionError) as error:
            raise RefusedError(HTTPStatus.BAD_REQUEST, f"not valid JSON: {error}") from error
        if not isinstance(body, dict):
            raise RefusedError(HTTPStatus.BAD_REQUEST, "a JSON object was expected")
        return body

    def _fail(self, status: HTTPStatus, message: str) -> None:
        self._send(status, json.dumps({"error": message}).encode(), "application/json")

    def _send(self, status: HTTPStatus, content: bytes, kind: str) -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(content)))
        self.send_header("Content-Security-Policy", _POLICY)
        self.send_header("X-Content-Type-Options", "nosniff")
        self.send_header("Referrer-Policy", "no-referrer")
        self.send_header("Cache-Control", "no-store")
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the base's signature
        """Quiet: the site has one user, who sees the page."""


def make_server(host: str = "127.0.0.1", port: int = 0) -> ThreadingHTTPServer:
    """A server that listens but does not yet answer; port 0 takes a free one."""
    handler = type("Handler", (Handler,), {"bound_host": host})
    server = ThreadingHTTPServer((host, port), handler)
    server.daemon_threads = True
    return server


def serve(host: str = "127.0.0.1", port: int = 8470) -> None:
    """Answer until interrupted."""
    with make_server(host, port) as server:
        address, bound = server.server_address[:2]
        print(f"http://{address!s}:{bound}  (stop with Ctrl-C)", flush=True)  # noqa: T201  # the command's output
        server.serve_forever()
