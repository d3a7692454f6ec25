"""What a browser's compiler says of our WGSL: it rejects what wgpu's accepts, and the reverse."""

from __future__ import annotations

import http.server
import json
import os
import shutil
import signal
import subprocess
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from flambeau.device.webgpu.table import Step, lower
from flambeau.graph import build, op
from flambeau.graph import dtype as dtypes
from flambeau.graph.graph import Graph
from flambeau.graph.node import Node, ScalarRef, node
from flambeau.kernel.limits import Limits
from flambeau.schedule import plan

BROWSER = shutil.which("chromium") or shutil.which("google-chrome")

PAGE = """<!doctype html><script>
const steps = STEPS;
const types = {u: 'uniform', r: 'read-only-storage', w: 'storage'};
async function messages() {
  const adapter = await navigator.gpu?.requestAdapter();
  if (!adapter) return null;
  const device = await adapter.requestDevice();
  const found = [];
  for (const {name, wgsl, kinds} of steps) {
    const module = device.createShaderModule({code: wgsl});
    for (const each of (await module.getCompilationInfo()).messages)
      found.push(`${name}: ${each.type} ${each.message}`);
    const entries = [...kinds].map((kind, binding) =>
      ({binding, visibility: GPUShaderStage.COMPUTE, buffer: {type: types[kind]}}));
    const layout = device.createPipelineLayout(
      {bindGroupLayouts: [device.createBindGroupLayout({entries})]});
    try {
      await device.createComputePipelineAsync({layout, compute: {module, entryPoint: 'main'}});
    } catch (error) { found.push(`${name}: ${error.message}`); }
  }
  return found;
}
messages().catch(error => [String(error)]).then(found =>
  fetch('/', {method: 'POST', body: JSON.stringify(found)}));
</script>"""


def steps_of(*outputs: Node, inputs: Sequence[Node], scalars: Any = ()) -> list[Step]:
    """The dispatches of a graph, as for a GPU and as for a processor."""
    graph = Graph(tuple(inputs), outputs, scalars)
    program = plan.build(graph, Limits(buffers=7))
    tables = [lower(program, most_points) for most_points in (16, 8192)]
    return [step for table in tables for step in table.steps if isinstance(step, Step)]


def samples() -> list[Step]:
    """Every renderer, every library function, every dtype, NaN and infinite constants."""
    steps: list[Step] = []

    def given(shape: tuple[int, ...], dtype: Any = dtypes.float32) -> Node:
        return node(op.BUFFER, (), (shape, dtype))

    x, y = given((40, 50)), given((40, 50))
    names = ["SQRT", "EXP", "LOG", "SIN", "COS", "TAN", "FLOOR", "NEG"]
    functions = [node(op.PRIMITIVES[name], (x,)) for name in names]
    names = ["ADD", "MUL", "DIV", "MOD", "MAX", "LT", "EQ"]
    functions += [node(op.PRIMITIVES[name], (x, y)) for name in names]
    for each in functions:
        steps += steps_of(each, inputs=(x, y))
    for dtype in (dtypes.int64, dtypes.int8, dtypes.uint8, dtypes.uint32):
        a, b = given((9,), dtype), given((9,), dtype)
        for name in ["IDIV", "MOD", "MAX", "SHL", "SHR", "XOR", "NEG"]:
            args = (a,) if name == "NEG" else (a, b)
            steps += steps_of(node(op.PRIMITIVES[name], args), inputs=(a, b))
        for target in (dtypes.float32, dtypes.bool_, dtypes.int16, dtypes.uint32):
            steps += steps_of(build.cast(a, target), inputs=(a, b))
    for number in (float("nan"), float("inf"), -0.0, 1e-45, 3e38):
        steps += steps_of(build.mul(x, build.constant(number, dtypes.float32)), inputs=(x, y))
    for kind in ("add", "mul", "max"):
        steps += steps_of(build.reduce(kind, x, (0,)), build.scan(kind, x, 1), inputs=(x, y))
        rows = given((3, 5000))
        steps += steps_of(build.sub(rows, build.reduce(kind, rows, (1,))), inputs=(rows,))
    steps += steps_of(*build.sort(x, 1), inputs=(x,))
    steps += steps_of(build.matmul(x, build.permute(y, (1, 0))), inputs=(x, y))
    image, weight = given((2, 8, 20, 20)), given((32, 8, 3, 3))
    pads = ((1, 1), (1, 1))
    steps += steps_of(
        build.conv("forward", image, weight, (1, 1), pads, (1, 1), 1), inputs=(image, weight)
    )
    index = given((6,), dtypes.int64)
    taken = build.gather(x, index, 0)
    steps += steps_of(taken, build.scatter(x, index, taken, 0, "add"), inputs=(x, index))
    starts = (ScalarRef(0), ScalarRef(1))
    part = build.slice_(x, starts, (3, 4))
    steps += steps_of(
        build.pad(part, (60, 60), starts), inputs=(x,), scalars=(dtypes.int64, dtypes.int64)
    )
    return list({each.wgsl: each for each in steps}.values())


class _Answer:
    """A page for the browser, and what it sends back."""

    def __init__(self, page: str) -> None:
        self.text: str | None = None
        self.ready = threading.Event()
        answer = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                self.send_response(200)
                self.send_header("content-type", "text/html")
                self.end_headers()
                self.wfile.write(page.encode())

            def do_POST(self) -> None:
                length = int(self.headers["content-length"])
                answer.text = self.rfile.read(length).decode()
                self.send_response(200)
                self.end_headers()
                answer.ready.set()

            def log_message(self, *_: Any) -> None:
                """Say nothing."""

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()


@pytest.mark.skipif(BROWSER is None, reason="no chromium: its WGSL compiler is not asked")
@pytest.mark.skipif(os.name == "nt", reason="the browser is ended by its process group")
def test_a_browser_accepts_all_code(tmp_path: Path) -> None:
    steps = [
        {
            "name": each.name,
            "wgsl": each.wgsl,
            "kinds": "u" + each.access + ("w" if each.record >= 0 else ""),
        }
        for each in samples()
    ]
    assert len(steps) > 40
    answer = _Answer(PAGE.replace("STEPS", json.dumps(steps).replace("</", "<\\/")))
    browser = subprocess.Popen(
        [
            str(BROWSER),
            "--headless",
            "--no-sandbox",
            "--enable-unsafe-webgpu",
            "--use-webgpu-adapter=swiftshader",
            f"--user-data-dir={tmp_path}",
            f"http://127.0.0.1:{answer.server.server_port}/",
        ],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        arrived = answer.ready.wait(120)
    finally:
        os.killpg(browser.pid, signal.SIGTERM)
        browser.wait()
        answer.server.shutdown()
        answer.server.server_close()
    assert arrived, "the browser did not answer"
    found = json.loads(answer.text or "null")
    if found is None:
        pytest.skip("the browser has no WebGPU adapter")
    assert found == []
