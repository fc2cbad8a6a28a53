"""A page in headless Chromium: what it looks like, what its console says, and how large its images are."""

import html
import json
import re
import shutil
import subprocess

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
MEASURE = """<script>
addEventListener("load", () => {
  const images = [...document.images].map(i => [i.naturalWidth, i.naturalHeight, i.clientWidth, i.clientHeight]);
  const found = {images, wide: document.documentElement.scrollWidth > innerWidth};
  document.body.innerHTML = "<pre id=measured></pre>";
  document.getElementById("measured").textContent = JSON.stringify(found);
});
</script>"""


def browser():
    """The path of Chromium, or None."""
    return next(filter(None, map(shutil.which, NAMES)), None)


def screenshot(page, picture, width=1200, height=3400):
    """Write a picture of a page; gives what its console says, a line each."""
    found = _run(page, f"--screenshot={picture}", f"--window-size={width},{height}", "--enable-logging=stderr")
    return [line for line in found.stderr.splitlines() if "CONSOLE" in line]


def measured(page, copy):
    """{"images": sizes of each, natural and shown; "wide": whether it is wider than the window} of a page."""
    copy.write_text(page.read_text(encoding="utf-8") + MEASURE, encoding="utf-8")
    found = _run(copy, "--dump-dom", "--window-size=1200,900").stdout
    return json.loads(html.unescape(re.search(r'<pre id="measured">(.*?)</pre>', found, re.S)[1]))


def _run(page, *options):
    quiet = ("--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars", "--virtual-time-budget=10000")
    command = [browser(), *quiet, *options, page.resolve().as_uri()]
    return subprocess.run(command, capture_output=True, text=True, timeout=120, check=True)
