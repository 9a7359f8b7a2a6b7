"""The built book in a real browser: it loads nothing from outside, and shows its mathematics and figures."""

import functools
import http.server
import json
import os
import shutil
import threading
from pathlib import Path

import looks
import pytest
from selenium import webdriver
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.support.ui import WebDriverWait

from press.page import claims
from press.plan import settings

# BOOK=published looks at the published edition's
HTML = settings.ROOT / "build" / os.environ.get("BOOK", "quick") / "html"
# bytes of a page with all that it loads by itself
HEAVY = 3 * 2**20
WIDTHS = {"desktop": (1280, 900), "phone": (390, 844)}
# A4 without its margins, in CSS's pixels
SHEET = (718, 1050)
THEMES = ("light", "dark")
FLAGS = (
    "--headless=new --no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking "
    "--disable-component-update --disable-sync --disable-dev-shm-usage --hide-scrollbars --enable-unsafe-swiftshader"
)


def absent(reason: str):
    """Skips; in continuous integration fails, where everything has to be there."""
    if os.environ.get("CI") == "true":
        pytest.fail(reason)
    pytest.skip(reason)


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    """Headless Chromium with a fresh profile."""
    chromium = os.environ.get("CHROMIUM") or shutil.which("chromium") or shutil.which("google-chrome")
    driver = shutil.which("chromedriver")
    if not chromium or not driver:
        absent("no Chromium with chromedriver here (apt install chromium chromium-driver)")
    options = webdriver.ChromeOptions()
    options.binary_location = chromium
    for flag in [*FLAGS.split(), f"--user-data-dir={tmp_path_factory.mktemp('chromium')}"]:
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"performance": "ALL", "browser": "ALL"})
    chrome = webdriver.Chrome(options=options, service=Service(driver))
    chrome.set_script_timeout(30)
    # away from the browser's own start page, which asks its maker's servers
    chrome.get("about:blank")
    yield chrome
    chrome.quit()


class _Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *_):
        pass


@pytest.fixture(scope="module")
def serve():
    """A function that serves a folder on this machine and returns its address."""
    servers = []

    def start(folder: Path) -> str:
        handler = functools.partial(_Quiet, directory=str(folder))
        server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        servers.append(server)
        return f"http://127.0.0.1:{server.server_port}/"

    yield start
    for server in servers:
        server.shutdown()


def faults(browser, site: str, page: str, screen: str) -> list[str]:
    """What is wrong with one page at one width; empty when all is well."""
    resize(browser, *WIDTHS[screen], mobile=screen == "phone")
    seen = look(browser, site + page)
    found = [f"picture {source} does not show" for source in seen["broken"]]
    found += [f"mathematics does not parse: {text}" for text in seen["wrong"]]
    if seen["plain"]:
        found.append(f"{seen['plain']} of {seen['math']} formulas are not rendered")
    if seen["width"] > seen["window"]:
        found.append(f"the page is {seen['width']} px wide in a window of {seen['window']} px")
    found += [f"picture {source} has no words that say what it shows" for source in seen["nameless"]]
    if seen["weight"] > HEAVY:
        found.append(f"the page weighs {seen['weight'] / 2**20:.1f} MiB; allowed are {HEAVY / 2**20:.0f}")
    if seen["scripts"]:
        found.append("the library of surfaces is loaded before anybody asked for it")
    if seen["hidden"]:
        found.append("a table's column Ours is out of view")
    if page.startswith("figures/") and not seen["pictures"]:
        found.append("a figure's page without a picture or table")
    found += [f"console: {entry['message']}" for entry in browser.get_log("browser") if entry["level"] == "SEVERE"]
    found += network_faults(browser, site) + [fault for theme in THEMES for fault in contrast_faults(browser, theme)]
    found += paper_faults(browser) if screen == "desktop" else []
    return [f"{page} ({screen}): {fault}" for fault in found]


def resize(browser, width: int, height: int, *, mobile: bool = False) -> None:
    size = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": mobile}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)


def look(browser, address: str) -> dict:
    """Opens a page, and what it says of itself once it is ready."""
    for log in ("performance", "browser"):
        browser.get_log(log)
    browser.get(address)
    WebDriverWait(browser, 30).until(lambda b: b.execute_script("return document.readyState") == "complete")
    return browser.execute_async_script(looks.LOOK)


def contrast_faults(browser, theme: str) -> list[str]:
    """Words of the page at hand that do not stand out from what is behind them."""
    found = browser.execute_script(looks.CONTRAST, theme)
    return [
        f"{theme}: {words!r} in {element} stands out by {ratio:.2f}; needed is {needed}"
        for ratio, needed, element, words in found
    ]


def paper_faults(browser) -> list[str]:
    """What of the page at hand is cut or out of place when it is printed."""
    browser.execute_script("document.documentElement.dataset.theme = 'light'")
    resize(browser, *SHEET)
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": "print"})
    found = browser.execute_script(looks.PAPER)
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": ""})
    return [f"on paper: {element} ({words!r}) {what}" for what, element, words in found]


def network_faults(browser, site: str) -> list[str]:
    """Requests that left the site."""
    events = [json.loads(entry["message"])["message"] for entry in browser.get_log("performance")]
    sent = [event["params"] for event in events if event["method"] == "Network.requestWillBeSent"]
    addresses = {request["request"]["url"] for request in sent}
    # the browser's own start page may still be loading; no page of a site can ask for such addresses
    local = (site, "data:", "blob:", "about:", "chrome:", "chrome-untrusted:")
    return [f"loads {address} from outside" for address in sorted(addresses) if not address.startswith(local)]


def pages() -> list[str]:
    """The book's own pages."""
    found = [path.relative_to(HTML).as_posix() for path in HTML.rglob("*.html")]
    return sorted(page for page in found if not page.startswith("_"))


@pytest.mark.parametrize("screen", WIDTHS)
def test_every_page_of_the_book(browser, serve, screen):
    if not (HTML / "index.html").is_file():
        absent("the book is not built (make book)")
    site = serve(HTML)
    assert len(pages()) > 5
    assert [fault for page in pages() for fault in faults(browser, site, page, screen)] == []


def test_every_page_becomes_ready_from_disk_as_well(browser, capsys):
    """Without a server. How long that takes is told, and nobody fails by it: machines differ."""
    if not (HTML / "index.html").is_file():
        absent("the book is not built (make book)")
    site, seconds = HTML.as_uri() + "/", {}
    resize(browser, *WIDTHS["desktop"])
    for page in pages():
        seen = look(browser, site + page)
        seconds[page] = seen["seconds"]
        assert (page, seen["broken"], seen["plain"], network_faults(browser, site)) == (page, [], 0, [])
    slowest = max(seconds, key=seconds.get)
    with capsys.disabled():
        print(f"\n{len(seconds)} pages, ready from disk in at most {seconds[slowest]:.2f} s ({slowest})")


def test_the_book_has_mathematics(browser, serve):
    if not (HTML / "index.html").is_file():
        absent("the book is not built (make book)")
    site = serve(HTML)
    browser.get(site + "3-decision-surface.html")
    assert browser.execute_async_script(looks.LOOK)["math"] > 3


@pytest.mark.parametrize("theme", THEMES)
def test_surfaces_turn_when_they_are_asked_to_and_load_nothing_from_outside(browser, serve, theme):
    if not (HTML / "figures" / "fig02.html").is_file():
        absent("the book is not built (make book)")
    site = serve(HTML)
    browser.get_log("performance")
    browser.get(site + "figures/fig02.html")
    browser.execute_script(f"document.documentElement.dataset.theme = '{theme}'")
    assert browser.execute_script("return typeof Plotly") == "undefined"
    browser.find_element("css selector", ".turning-button").click()
    WebDriverWait(browser, 30).until(lambda b: b.find_elements("css selector", ".turning[data-drawn]"))
    drawn = browser.execute_script(
        "return Array.from(document.querySelectorAll('.turning-panel')).map((panel) => [panel.data[0].z.length, "
        "panel.layout.scene.xaxis.color, panel.querySelectorAll('canvas').length])"
    )
    ink = browser.execute_script(
        "return getComputedStyle(document.documentElement).getPropertyValue('--pst-color-text-base').trim()"
    )
    assert len(drawn) >= 2 and all(n > 3 and colour == ink and canvases for n, colour, canvases in drawn)
    assert network_faults(browser, site) == []


def test_claims_are_chosen_by_verdict_and_by_words(browser, serve):
    if not (HTML / "claims.html").is_file():
        absent("the book is not built (make book)")
    browser.get(serve(HTML) + "claims.html")
    WebDriverWait(browser, 30).until(lambda b: b.find_elements("css selector", "#claims-filter button"))
    shown = (
        "return Array.from(document.querySelector('article table').tBodies[0].rows).filter((row) => !row.hidden)"
        ".map((row) => row.querySelector('.verdict').textContent)"
    )
    every = browser.execute_script(shown)
    assert len(every) == sum(claim["section"] != claims.BEYOND for claim in claims.load())
    browser.find_element("css selector", "#claims-filter .verdict-partly").click()
    partly = browser.execute_script(shown)
    assert partly == ["partly"] * every.count("partly") and partly
    browser.find_element("css selector", "#claims-filter .verdict-all").click()
    browser.find_element("css selector", "#claims-filter input").send_keys("hessian")
    assert 0 < len(browser.execute_script(shown)) < len(every)


@pytest.mark.parametrize(
    ("body", "fault"),
    [
        ('<img src="missing.png">', "missing.png does not show"),
        ('<img alt="image" src="data:image/gif;base64,R0lGODlhAQABAAAAACw=">', "has no words that say what it shows"),
        ('<table style="width: 3000px"><thead><tr><th>x</th><th>Ours</th></tr></thead></table>', "Ours is out of view"),
        (f"<p>{'x' * (HEAVY + 1)}</p>", "the page weighs 3.0 MiB"),
        ("<script>console.error('oh')</script>", "console: "),
        ("<script>nothing()</script>", "console: "),
        ('<div style="width: 3000px">x</div>', "px wide in a window of"),
        ('<span class="math">$x$</span>', "1 of 1 formulas are not rendered"),
        ('<script src="http://127.0.0.1:9/x.js"></script>', "loads http://127.0.0.1:9/x.js from outside"),
        ("<p>words only</p>", "a figure's page without a picture or table"),
        ('<p style="color: #888">pale</p>', "light: 'pale' in p stands out by 3.54; needed is 4.5"),
        ('<b style="color: #999; font: bold 19px serif">pale</b>', "light: 'pale' in b stands out by 2.85; needed is 3"),
        ('<style>[data-theme="dark"] body { background: #222 }</style><p>black</p>', "dark: 'black' in p stands out by 1.3"),
        ('<div style="background: #000a"><p style="opacity: 0.5">x</p></div>', "light: 'x' in p stands out by"),
        ('<svg><text y="20" fill="oklch(80% 0 0)">x</text></svg>', "light: 'x' in text stands out by 1."),
        (
            '<div style="width: 9em; overflow: auto"><hr style="width: 40em"></div>',
            "on paper: div ('') is cut by its own box",
        ),
        ('<table style="width: 900px"><tr><td>wide</td></tr></table>', "on paper: table ('wide') is cut by the sheet"),
        ('<section id="code"><pre>x</pre></section>', "on paper: section ('x') is of no use"),
        ('<span class="verdict">partly</span>', "on paper: span.verdict ('partly') loses its colour"),
    ],
)
def test_each_fault_is_noticed(browser, serve, tmp_path, body, fault):
    (tmp_path / "figures").mkdir()
    text = f"<!DOCTYPE html><html><head><title>x</title></head><body><article>{body}</article></body></html>"
    (tmp_path / "figures" / "page.html").write_text(text)
    found = faults(browser, serve(tmp_path), "figures/page.html", "desktop")
    assert any(fault in each for each in found), found


def test_words_that_stand_out_enough_are_none_too_pale(browser, serve, tmp_path):
    body = (
        '<p style="color: #767676">enough</p><p style="color: #949494; font-size: 24px">large</p>'
        '<p style="color: #949494; font: bold 18.66px serif">bold</p><p hidden style="color: #fff">hidden</p>'
        '<button disabled style="color: #ddd">disabled</button>'
        '<div style="background: #000"><i style="background: #fffc">on grey</i></div>'
    )
    (tmp_path / "page.html").write_text(f"<!DOCTYPE html><html><body>{body}</body></html>")
    browser.get(serve(tmp_path) + "page.html")
    assert contrast_faults(browser, "light") == []
