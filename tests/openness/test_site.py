"""The local site: its answers, its defences, and the page itself in headless Chromium."""

from __future__ import annotations

import base64
import http.client
import json
import shutil
import socket
import subprocess
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from flambeau.openness.form import apply_form, form_of
from flambeau.openness.model import load_model, parse_model
from flambeau.openness.profiles import evaluate
from flambeau.openness.site import make_server
from tests.openness.support import UPSTREAM, model_yaml
from tests.openness.test_inspection import FULL, write

GRANITE = UPSTREAM / "models" / "Granite-4-1.yml"


@pytest.fixture(scope="module")
def port() -> Iterator[int]:
    server = make_server()
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield server.server_address[1]
    server.shutdown()
    server.server_close()


def ask(
    port: int, method: str, path: str, body: Any = None, **headers: str
) -> tuple[int, dict[str, str], bytes]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    sent = {"Content-Type": "application/json"} | {
        k.replace("_", "-"): v for k, v in headers.items()
    }
    connection.request(method, path, None if body is None else content, sent)
    answer = connection.getresponse()
    result = answer.status, dict(answer.getheaders()), answer.read()
    connection.close()
    return result


def post(port: int, path: str, body: Any) -> dict[str, Any]:
    status, _, content = ask(port, "POST", path, body)
    assert status == 200, content
    loaded: dict[str, Any] = json.loads(content)
    return loaded


def test_pages_and_policy(port: int) -> None:
    status, headers, content = ask(port, "GET", "/")
    assert status == 200
    assert b"How open is a model?" in content
    assert "default-src 'none'" in headers["Content-Security-Policy"]
    assert ask(port, "GET", "/site.js")[0] == 200
    assert ask(port, "GET", "/../cli.py")[0] == 404
    assert ask(port, "POST", "/nothing", {})[0] == 404


def test_evaluate_and_profile(port: int) -> None:
    text = GRANITE.read_text()
    answer = post(port, "/api/evaluate", {"yaml": text})
    assert answer["report"]["class"] == 3
    assert "Class III - Open Model" in answer["html"]
    assert post(port, "/api/evaluate", {"yaml": text, "profile": "strict"})["report"]["class"] == 0


def test_form_round_trip(port: int) -> None:
    answer = post(port, "/api/evaluate", {"yaml": GRANITE.read_text()})
    form = answer["form"]
    unchanged = post(port, "/api/form", {"yaml": answer["yaml"], "form": form})
    assert unchanged["report"]["class"] == 3
    assert evaluate(unchanged["yaml"]).as_json()["licenses"] == answer["report"]["licenses"]
    for component in form["components"]:
        if component["name"] in ("Training code", "Inference code", "Evaluation code"):
            component["included"] = True
        if component["name"] == "Evaluation data":
            component.update(included=True, inherits=False, license="CDLA-Permissive-2.0")
    changed = post(port, "/api/form", {"yaml": answer["yaml"], "form": form})
    assert changed["report"]["class"] == 2
    assert "huggingface: https://huggingface.co/collections/ibm-granite" in changed["yaml"]


def test_form_keeps_what_it_does_not_show() -> None:
    model = load_model(GRANITE)
    again = parse_model(apply_form(GRANITE.read_text(), form_of(model)))
    assert again.release == model.release
    started = apply_form("", form_of(parse_model(model_yaml(["Model card"]))))
    assert evaluate(started).schema_errors == []


def test_inspect_dropped_files(port: int) -> None:
    files = [
        {"path": name, "size": len(raw), "head": base64.b64encode(raw).decode()}
        for name, raw in ((n, c if isinstance(c, bytes) else c.encode()) for n, c in FULL.items())
    ]
    answer = post(port, "/api/inspect", {"name": "tiny-net", "files": files})
    assert answer["report"]["class"] == 2
    assert answer["report"]["inspection"]["components"]


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b"{", 400),
        (b"[]", 400),
        ({"yaml": 1}, 422),
        ({"yaml": "a: ["}, 422),
        ({"yaml": "x" * (2 << 20)}, 422),
    ],
)
def test_bad_requests(port: int, body: Any, status: int) -> None:
    found, _, content = ask(port, "POST", "/api/evaluate", body)
    assert found == status
    assert json.loads(content)["error"]


def test_bad_forms_and_files(port: int) -> None:
    for path, body in (
        ("/api/form", {"yaml": "", "form": 1}),
        ("/api/form", {"yaml": "", "form": {"components": [{"name": "x"}]}}),
        ("/api/form", {"yaml": "[]", "form": {}}),
        ("/api/inspect", {"files": [{"path": "a"}]}),
        ("/api/inspect", {"files": [{"path": "a", "size": 1, "head": "§"}]}),
    ):
        assert ask(port, "POST", path, body)[0] == 422


def test_other_sites_are_refused(port: int) -> None:
    assert ask(port, "GET", "/", Host="evil.example")[0] == 403
    assert ask(port, "POST", "/api/evaluate", {"yaml": ""}, Host="evil.example:80")[0] == 403
    assert ask(port, "POST", "/api/evaluate", {"yaml": ""}, Content_Type="text/plain")[0] == 415
    status = ask(port, "POST", "/api/evaluate", b"", Content_Length=str(1 << 40))[0]
    assert status == 413


class Browser:
    """The few WebDriver commands that the test needs, spoken to chromedriver directly."""

    ELEMENT = "element-6066-11e4-a52e-4f735466cecf"

    def __init__(self, driver: str, browser: str, folder: Path) -> None:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            number = free.getsockname()[1]
        self.process = subprocess.Popen(
            [driver, f"--port={number}", "--log-level=OFF"],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        self.address = f"http://127.0.0.1:{number}"
        self.session = ""
        options = {
            "binary": browser,
            "args": ["--headless", "--no-sandbox", "--disable-gpu", "--window-size=1400,1000"],
            "prefs": {"download.default_directory": str(folder)},
        }
        capabilities = {"alwaysMatch": {"goog:chromeOptions": options}}
        self._wait_for_driver()
        made = self.command("POST", "/session", {"capabilities": capabilities})
        self.session = f"/session/{made['sessionId']}"

    def _wait_for_driver(self) -> None:
        deadline = time.monotonic() + 20
        while True:
            try:
                self.command("GET", "/status")
                return
            except OSError:
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.05)

    def command(self, method: str, path: str, body: Any = None) -> Any:
        content = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(
            self.address + self.session + path,
            content,
            {"Content-Type": "application/json"},
            method=method,
        )
        try:
            with urllib.request.urlopen(request, timeout=30) as answer:
                return json.loads(answer.read())["value"]
        except urllib.error.HTTPError as error:
            raise AssertionError(error.read().decode()) from error

    def run(self, script: str) -> Any:
        return self.command("POST", "/execute/sync", {"script": script, "args": []})

    def element(self, selector: str) -> str:
        found = self.command("POST", "/element", {"using": "css selector", "value": selector})
        return str(found[self.ELEMENT])

    def type(self, selector: str, text: str) -> None:
        self.command("POST", f"/element/{self.element(selector)}/value", {"text": text})

    def click(self, selector: str) -> None:
        self.command("POST", f"/element/{self.element(selector)}/click", {})

    def wait(self, condition: str) -> None:
        deadline = time.monotonic() + 15
        while not self.run(f"return Boolean({condition})"):
            shown = self.run("return document.body.innerText")
            assert time.monotonic() < deadline, f"{condition}: {shown}"
            time.sleep(0.05)

    def close(self) -> None:
        if self.session:
            self.command("DELETE", "")
        self.process.terminate()
        self.process.wait(10)


@pytest.fixture
def browser(tmp_path: Path) -> Iterator[Browser]:
    driver = shutil.which("chromedriver")
    program = shutil.which("chromium") or shutil.which("google-chrome")
    if driver is None or program is None:
        pytest.skip("needs chromium and chromedriver")
    made = Browser(driver, program, tmp_path)
    yield made
    made.close()


CLASS = "document.querySelector('.verdict')?.dataset.class"


def test_the_page_in_chromium(port: int, browser: Browser, tmp_path: Path) -> None:
    browser.command("POST", "/url", {"url": f"http://127.0.0.1:{port}/"})
    browser.type("#yaml", "broken: [")
    browser.click("#evaluate")
    browser.wait("document.getElementById('message').textContent.includes('not valid YAML')")
    text = json.dumps(GRANITE.read_text())
    browser.run(f"document.getElementById('yaml').value = {text}")
    browser.click("#evaluate")
    browser.wait(f"{CLASS} === '3'")
    browser.click('[aria-label="Data card"]')
    browser.wait(f"{CLASS} === '0'")
    assert "Data card" not in browser.run("return document.getElementById('yaml').value")
    browser.type('[aria-label="licence of Data card"]', "CC-BY-4.0\n")
    browser.wait(f"{CLASS} === '3'")
    browser.click("#download")
    target = tmp_path / "mof.yml"
    deadline = time.monotonic() + 10
    while not target.exists() and time.monotonic() < deadline:
        time.sleep(0.05)
    assert evaluate(target).judgements[14].license == "CC-BY-4.0"


def test_a_folder_in_chromium(port: int, browser: Browser, tmp_path: Path) -> None:
    folder = write(tmp_path / "tiny-net", FULL)
    browser.command("POST", "/url", {"url": f"http://127.0.0.1:{port}/"})
    browser.type("#folder", str(folder))
    browser.wait(f"{CLASS} === '2'")
    assert browser.run("return document.querySelector('#verdict h1').textContent") == "tiny-net"
    assert "src/model.py:3" in browser.run("return document.getElementById('verdict').innerText")
