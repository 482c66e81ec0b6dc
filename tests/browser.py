"""A page as a headless Chromium shows it, at any width."""

from __future__ import annotations

import html
import json
import pathlib
import re
import shutil
import subprocess

import pytest

_PROGRAMS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
# The page stands in a frame of its own, because a window is never narrower than 500 px.
_HARNESS = """<!doctype html><meta charset="utf-8"><title>harness</title>
<body style="margin:0"><iframe id="frame" style="border:0;width:{width}px;height:900px"></iframe>
<pre id="findings"></pre>
<script>
const frame = document.getElementById("frame");
frame.onload = async () => {{
  const page = frame.contentDocument, root = page.documentElement;
  await Promise.all([...page.images].map(image => image.decode().catch(() => null)));
  const boxed = e => e.closest(".scroll") !== null;
  const findings = {{
    width: root.clientWidth,
    scroll_width: root.scrollWidth,
    images: [...page.images].map(i => ({{alt: i.alt, width: i.naturalWidth}})),
    wide: [...page.querySelectorAll("body *")]
      .filter(e => !boxed(e) && e.getBoundingClientRect().right > root.clientWidth + 1)
      .map(e => e.tagName + "." + e.className),
    boxes: [...page.querySelectorAll(".scroll")].map(e => e.tabIndex),
    tables: page.querySelectorAll("table").length,
    unscoped: page.querySelectorAll("th:not([scope])").length,
    broken_links: [...page.querySelectorAll("a")].map(a => a.getAttribute("href"))
      .filter(href => !(href.startsWith("#") && page.getElementById(href.slice(1)))),
    landmarks: ["header", "main"].filter(name => page.querySelector("body > " + name)),
    outside: [...page.querySelectorAll("[src],link[href]")]
      .map(e => e.getAttribute("src") || e.getAttribute("href"))
      .filter(address => !address.startsWith("data:")),
  }};
  document.getElementById("findings").textContent = JSON.stringify(findings);
}};
frame.srcdoc = {page};
</script></body>"""


def look(path: pathlib.Path, folder: pathlib.Path, width: int) -> dict:
    """What a browser finds on a page in a frame of a width, and what its console said.

    Skips where there is no Chromium.
    """
    # "</" would end the harness's own script.
    text = json.dumps(path.read_text("utf-8")).replace("</", "<\\/")
    harness = folder / f"harness-{width}.html"
    harness.write_text(_HARNESS.format(width=width, page=text), encoding="utf-8")
    shown = _run(["--virtual-time-budget=20000", "--dump-dom", harness.as_uri()], folder)
    found = re.search(r'<pre id="findings">(.+?)</pre>', shown.stdout, re.DOTALL)
    assert found, f"the page did not load: {shown.stderr[-2000:]}"
    console = [line for line in shown.stderr.splitlines() if "CONSOLE" in line]
    return json.loads(html.unescape(found.group(1))) | {"console": console}


def _run(arguments: list[str], folder: pathlib.Path) -> subprocess.CompletedProcess:
    program = next(filter(None, map(shutil.which, _PROGRAMS)), None)
    if program is None:
        pytest.skip(f"no browser: none of {', '.join(_PROGRAMS)} is installed")
    fixed = ["--headless", "--no-sandbox", "--disable-gpu", "--enable-logging=stderr"]
    profile = f"--user-data-dir={folder / 'profile'}"
    return subprocess.run(
        [program, *fixed, profile, *arguments], capture_output=True, text=True, timeout=110
    )
