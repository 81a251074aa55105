"""A headless Chromium for the tests of the report."""

import pytest
from tests.browser.chromium import FLAGS, PATIENCE_MS, PROGRAMS, find_chromium


@pytest.fixture(scope="session")
def browser():
    playwright = pytest.importorskip(
        "playwright.sync_api", reason="Playwright is not installed: pip install playwright"
    )
    program = find_chromium()
    if program is None:
        pytest.skip(f"no Chromium on the path (looked for {', '.join(PROGRAMS)}); on Debian: apt-get install chromium")
    with playwright.sync_playwright() as driver:
        started = driver.chromium.launch(executable_path=program, args=list(FLAGS), timeout=PATIENCE_MS)
        yield started
        started.close()


class Watched:
    """A page together with everything that it complained about or wanted from the network."""

    def __init__(self, page):
        self.page = page
        self.complaints = []
        self.requests = []
        page.on("console", lambda message: self.complaints.append(message.text))
        page.on("pageerror", lambda error: self.complaints.append(str(error)))
        page.on("requestfailed", lambda request: self.complaints.append(f"failed: {request.url}"))
        page.on("request", lambda request: self.requests.append(request.url))


@pytest.fixture
def open_page(browser):
    """Open a file, with an address' end such as a hash; afterwards nothing may have gone wrong on any page."""
    opened, contexts = [], []

    def open_file(path, ending="", **options):
        contexts.append(browser.new_context(**({"viewport": {"width": 1200, "height": 800}} | options)))
        page = contexts[-1].new_page()
        page.set_default_timeout(PATIENCE_MS)
        opened.append(Watched(page))
        page.goto(path.as_uri() + ending)
        return page

    yield open_file
    for context in contexts:
        context.close()
    assert [complaint for watched in opened for complaint in watched.complaints] == []
    assert {url.split(":")[0] for watched in opened for url in watched.requests} <= {"file"}
