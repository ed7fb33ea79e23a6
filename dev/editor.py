"""ComfyUI's editor in a headless browser, for tests and generators; needs playwright and a Chromium on the machine."""

from __future__ import annotations

import contextlib

from . import browser

CHROMIUM = browser.find()
FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking"]
VIEWPORT = {"width": 1500, "height": 1000}


@contextlib.contextmanager
def open_editor(address: str, node: str):
    """A page with the editor of the server at `address`, once it knows the node class `node`.

    `page.alerts` collects the texts of dialogs, `page.errors` what scripts threw and nobody caught. Requests to
    anything but this machine are refused.
    """
    from playwright.sync_api import sync_playwright

    with sync_playwright() as driver:
        chromium = driver.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        page = chromium.new_page(viewport=VIEWPORT)
        page.alerts, page.errors = [], []
        page.on("dialog", lambda dialog: (page.alerts.append(dialog.message), dialog.dismiss()))
        page.on("pageerror", lambda error: page.errors.append(str(error)))
        page.route("**/*", lambda route: route.continue_() if "127.0.0.1" in route.request.url else route.abort())
        page.add_init_script("localStorage.setItem('vueNodesBannerDismissed', 'true')")
        page.goto(f"http://{address}/")
        page.wait_for_function(f"!!(window.app?.graph && window.LiteGraph?.registered_node_types?.{node})")
        yield page
        chromium.close()
