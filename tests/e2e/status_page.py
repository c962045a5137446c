#!/usr/bin/env python3
"""The status page in a real browser (headless Chromium): status_page.py --rivulet PROGRAM [NAME...]. `--list` prints the names, `--shots FOLDER`
keeps pictures of the page, light, dark and narrow.

The page always comes from the running agent, with its headers. What it shows is that agent, or, behind a proxy of this test, a /status as
it is in trouble or in the hands of somebody who may choose names and texts."""
import argparse
import contextlib
import http.client
import http.server
import inspect
import json
import math
import os
import subprocess
import tempfile
import threading
import time

from selenium import webdriver
from selenium.webdriver.chrome.service import Service

from rig import free_port, wait_for

SECONDS = 20
MAX_PAGE_BYTES = 60_000
LISTENER = 'status: {{listen: "127.0.0.1:{port}"}}\n'
CONFIG = """agent: {{id: gateway-042, state: "{folder}/state", commit_interval: 50ms}}
""" + LISTENER + """sources:
  machines: {{simulate: {{devices: 10, rate: 500/s, seed: 1}}, key: device}}
pipelines:
  hot: {{from: machines, steps: [{{where: "temperature > 20"}}], to: hot-machines}}
"""
FLAGS = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking", "--disable-component-update", "--disable-sync",
         "--disable-dev-shm-usage", "--hide-scrollbars"]
SHOTS = None


@contextlib.contextmanager
def agent(program, more="", listens=True):
    """A running agent, without Kafka unless `more`, which goes on with its pipelines, says so; its port and process id. `listens`: it has a status listener."""
    with tempfile.TemporaryDirectory(prefix="rivulet-page-") as folder:
        port = free_port()
        config = os.path.join(folder, "rivulet.yaml")
        with open(config, "w") as file:
            file.write((CONFIG if listens else CONFIG.replace(LISTENER, "")).format(folder=folder, port=port) + more.format(folder=folder))
        with open(os.path.join(folder, "log"), "w") as log, subprocess.Popen([program, "run", "-c", config], stdout=log, stderr=log) as process:
            try:
                if listens:
                    wait_for("the agent to answer", lambda: answers(port), SECONDS)
                yield port, process.pid
            finally:
                process.terminate()
                process.wait(SECONDS)


def answers(port):
    try:
        return get(port, "/healthz")[0] in (200, 503)  # its broker may never have been there
    except OSError:
        return False


def get(port, path, method="GET"):
    client = http.client.HTTPConnection("127.0.0.1", port, timeout=SECONDS)
    client.request(method, path)
    answer = client.getresponse()
    body = answer.read()
    client.close()
    return answer.status, dict((name.lower(), value) for name, value in answer.getheaders()), body


@contextlib.contextmanager
def browser():
    with tempfile.TemporaryDirectory(prefix="rivulet-browser-") as profile:
        options = webdriver.ChromeOptions()
        options.binary_location = "/usr/bin/chromium"
        for flag in [*FLAGS, f"--user-data-dir={profile}"]:
            options.add_argument(flag)
        options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
        driver = webdriver.Chrome(service=Service("/usr/bin/chromedriver"), options=options)
        try:
            yield driver
        finally:
            driver.quit()


def screen(driver, width, height=900, dark=False, mobile=False):
    driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", {"width": width, "height": height, "deviceScaleFactor": 2 if mobile else 1, "mobile": mobile})
    driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": [{"name": "prefers-color-scheme", "value": "dark" if dark else "light"}]})


def text(driver, identity):
    return driver.execute_script("return document.getElementById(arguments[0]).textContent", identity)


def complaints(driver):
    return [entry["message"] for entry in driver.get_log("browser") if entry["level"] == "SEVERE"]


class InFront:
    """Between browser and agent: the page and its headers are the agent's, /status and /history are ours."""

    def __init__(self, port, status, history=None):
        self.status, self.history = status, history or {"samples": []}
        self.dead = False
        self.asked = 0  # for /status
        front = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self):
                path = self.path.split("?")[0]
                if path == "/":
                    code, headers, body = get(port, "/")
                    headers = {name: value for name, value in headers.items() if name not in ("connection", "content-length")}
                elif front.dead or path not in ("/status", "/history"):
                    code, headers, body = 503, {}, b""
                else:
                    front.asked += path == "/status"
                    given = front.status if path == "/status" else front.history
                    code, headers, body = 200, {"content-type": "application/json"}, json.dumps(given() if callable(given) else given).encode()
                self.send_response(code)
                for name, value in headers.items():
                    self.send_header(name, value)
                self.send_header("content-length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.address = f"http://127.0.0.1:{self.server.server_address[1]}/"

    def __enter__(self):
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *_):
        self.server.shutdown()
        self.server.server_close()


def plant(**changes):
    """A /status of a busy gateway that moves on with each question."""
    begun = time.monotonic()
    now_ms = int(time.time() * 1000)

    def source(name, kind, rate, state, waiting=False, **events):
        return lambda s: {"name": name, "type": kind, "state": state, "records": int(3_100_000 * rate / 900 + rate * s), "bytes": int((3_100_000 * rate / 900 + rate * s) * 187), "waiting": waiting,
                          "events": events}

    sources = [source("machines", "mqtt", 900 + 80 * math.sin(begun), "connected to mqtt://localhost:1883, 3 subscriptions", dropped_qos0=12, reconnects=2),
               source("energy-meters", "tcp", 210, "listening on 0.0.0.0:5000, 4 connections"),
               source("audit-log", "file", 14, "/var/log/plant/audit.jsonl at 88 %, 2 files")]
    streams = [("overheating", "plant.overheating", 0.2, 0), ("averages", "plant.machine-averages", 41, 380), ("averages", "plant.machine-averages-by-site", 12, 120)]

    def status():
        s = time.monotonic() - begun
        total = int(4_015_332 + 1124 * s)
        answer = {
            "version": "0.1.0", "agent": "gateway-042", "incarnation": "7d0c6a52-2f0a-4c0e-9d3e-6f3b6f0c2a11", "now_ms": now_ms + int(s * 1000), "uptime_ms": 312_000_000 + int(s * 1000),
            "healthy": True, "problems": [], "sources": [make(s) for make in sources], "tables": [{"name": "sites", "ready": True, "state": "214 rows, loaded 3 h ago"}],
            "pipelines": [{"name": "overheating", "in": total, "out": 1820, "dropped": 0, "late": 0, "undecodable": 0, "failed": 0},
                          {"name": "averages", "in": total, "out": 402_113, "dropped": 0, "late": 37, "undecodable": 0, "failed": 3},
                          {"name": "with-site", "in": 402_113, "out": 402_113, "dropped": 0, "late": 0, "undecodable": 0, "failed": 0}],
            "totals": {"in": total, "out": 806_046, "dropped": 0, "late": 37, "undecodable": 4, "failed": 3, "quarantined": 7, "epochs": 311_980, "stored": 806_046, "closing": False},
            "store": {"outbox_records": 500, "outbox_bytes": 21_504, "used_bytes": 52_428_800, "limit_bytes": 966_367_641, "file_bytes": 60_000_000, "wal_bytes": 4_000_000, "commits": 311_980,
                      "commit_failures": 0, "last_commit_us": 8200, "quarantine_records": 7, "quarantine_dropped": 0, "dropped_records": 0, "held_bytes": 0, "held_full": False, "disk_full": False},
            "forward": {"link": "up", "phase": "sending", "alarm": "", "last_error": "", "forwarded_records": 805_546 + int(53 * s), "transactions": 291_004, "recoveries": 2,
                        "last_settled_ms": now_ms + int(s * 1000) - 640, "held": []},
            "config": {"last_reload_successful": True, "taken_ms": now_ms - 312_000_000, "refused_ms": 0, "problem": "", "under_way": "", "reloads": 0, "last_pause_ms": 0},
            "sinks": [],
            "streams": [{"name": name, "topic": topic, "last": int(400_000 + rate * s), "acknowledged": int(400_000 + rate * s) - waits, "waiting": waits, "bytes": waits * 43, "held": ""} for name, topic, rate, waits in streams],
            "last_errors": [{"level": "warning", "text": "mqtt machines: connection to localhost:1883 lost: Connection reset by peer; connecting again in 2 s", "first_ms": now_ms - 5_400_000, "last_ms": now_ms - 3_100_000, "count": 2},
                            {"level": "warning", "text": "averages: step 'set' failed for a record of machines: 'n/a' is no number; it is in quarantine (`rivulet quarantine list`)", "first_ms": now_ms - 86_400_000, "last_ms": now_ms - 86_000_000, "count": 3}],
            "clock_plausible": True, "log_lines_suppressed": 0, "resident_bytes": 14_600_000}
        for name, value in changes.items():
            answer[name] = {**answer[name], **value} if isinstance(value, dict) and isinstance(answer[name], dict) else value
        return answer

    return status


def hour(cut=None):
    """180 samples; in `cut` (steps of 20 s, from, to) the link is down and the backlog grows, afterwards it drains."""
    samples, backlog = [], 0
    for i in range(180):
        inn = int(20 * (1120 + 140 * math.sin(i / 9) + 60 * math.sin(i * 1.7)))
        out = int(inn * 0.05)
        up = not (cut and cut[0] <= i < cut[1])
        sent = min(out + backlog, 4 * out) if up else 0
        backlog += out - sent
        samples.append([20, inn, sent, backlog + 300 + (i * 37) % 200, int(up), int(up)])
    return {"step_s": 20, "steps": 180, "samples": samples}


REFUSED = {"last_reload_successful": False, "refused_ms": 1_700_000_000_000, "problem": "/etc/rivulet/pipelines.d/heat.yaml:6:9: pipelines.heat.steps[0].wher: is not a known key (and 1 more, in the log and by `rivulet check`)"}
TROUBLE = dict(
    config=REFUSED,
    healthy=False, problems=["records for topics that take nothing fill half of the store, their sources wait and the others go on: make or allow the topics plant.overheating"],
    store={"outbox_records": 2_481_022, "outbox_bytes": 412_000_000, "used_bytes": 930_000_000, "quarantine_records": 812, "held_full": True},
    forward={"link": "offline", "last_error": "kafka-1:9092: Connection refused; kafka-2:9092: timed out after 10 s"},
    last_errors=[{"level": "error", "text": "kafka: no broker can be reached (kafka-1:9092: Connection refused); trying again", "first_ms": 1_700_000_000_000, "last_ms": 1_700_000_360_000, "count": 4120},
                 {"level": "warning", "text": "no room in /var/lib/rivulet for more records: sources wait until Kafka has taken some (or raise agent.storage.max)", "first_ms": 1_700_000_300_000, "last_ms": 1_700_000_300_000, "count": 1}])


def loaded(driver, address):
    driver.get(address)
    wait_for("the page to show rates and plots", lambda: text(driver, "in-rate") != "–" and driver.execute_script("return document.querySelectorAll('#plot-rate text').length") > 0, SECONDS)


def shoot(driver, name):
    if SHOTS is None:
        return
    height = driver.execute_script("return document.documentElement.scrollHeight")
    width = driver.execute_script("return document.documentElement.clientWidth")
    picture = driver.execute_cdp_cmd("Page.captureScreenshot", {"captureBeyondViewport": True, "clip": {"x": 0, "y": 0, "width": width, "height": height, "scale": 1}})
    import base64
    with open(os.path.join(SHOTS, name + ".png"), "wb") as file:
        file.write(base64.b64decode(picture["data"]))


def the_page_is_one_small_document_that_loads_nothing_from_elsewhere(program):
    with agent(program) as (port, _):
        code, headers, body = get(port, "/")
        assert code == 200 and headers["content-type"] == "text/html; charset=utf-8", (code, headers)
        assert len(body) < MAX_PAGE_BYTES, f"{len(body)} bytes"
        assert b"http://" not in body.replace(b"http://www.w3.org/2000/svg", b"") and b"https://" not in body and b"src=" not in body, "something is loaded from elsewhere"
        policy = headers["content-security-policy"]
        assert "default-src 'none'" in policy and "unsafe" not in policy and "frame-ancestors 'none'" in policy, policy
        assert headers["x-content-type-options"] == "nosniff" and headers["x-frame-options"] == "DENY" and headers["referrer-policy"] == "no-referrer", headers
        for path in ("/status", "/metrics", "/healthz", "/nothing"):
            found = get(port, path)[1]
            assert found["x-content-type-options"] == "nosniff" and found["content-security-policy"].startswith("default-src 'none'"), (path, found)
        head = get(port, "/", "HEAD")
        assert head[0] == 200 and head[1]["content-length"] == str(len(body)) and head[2] == b"", head
        history = json.loads(get(port, "/history")[2])
        assert history["steps"] * history["step_s"] == 3600 and isinstance(history["samples"], list), history


def the_page_shows_the_running_agent(program):
    with agent(program) as (port, _), browser() as driver:
        screen(driver, 1280)
        loaded(driver, f"http://127.0.0.1:{port}/")
        assert text(driver, "agent") == "gateway-042" and text(driver, "link") == "off"
        wait_for("about 500 records a second", lambda: 300 < float(text(driver, "in-rate").replace(",", "")) < 700, SECONDS)
        assert "machines" in text(driver, "sources") and "hot-machines" in text(driver, "streams") and "hot" in text(driver, "pipelines")
        assert "no kafka section" in text(driver, "errors"), "the agent's warning is not among the last errors"
        before = text(driver, "in-more")
        wait_for("the page to move on", lambda: text(driver, "in-more") != before, SECONDS)
        assert complaints(driver) == [], complaints(driver)


def what_the_agent_says_is_text_and_never_markup(program):
    evil = "<img src=x onerror=window.evil=1><script>window.evil=1</script>\"'&"
    bad = plant(agent=evil, incarnation=evil, version=evil, healthy=False, problems=[evil], tables=[{"name": evil, "ready": False, "state": evil}],
                sources=[{"name": evil, "type": evil, "state": evil, "records": 1, "bytes": 1, "waiting": True, "events": {evil: 3, "__proto__": 4}}],
                pipelines=[{"name": evil, "in": 1, "out": 1, "dropped": 0, "late": 0, "undecodable": 0, "failed": 1}],
                config={"last_reload_successful": False, "refused_ms": 1, "problem": evil},
                streams=[{"name": evil, "topic": evil, "last": 5, "acknowledged": 1, "waiting": 4, "bytes": 10, "held": evil}],
                sinks=[sink(evil, evil, 1, state=evil, trouble=evil)],
                last_errors=[{"level": evil, "text": evil, "first_ms": 1, "last_ms": 2, "count": 2}],
                forward={"link": evil, "alarm": "", "last_error": evil, "held": [{"stream": evil, "topic": evil, "reason": evil}]})
    with agent(program) as (port, _), InFront(port, bad, hour()) as front, browser() as driver:
        screen(driver, 1280)
        loaded(driver, front.address)
        for place in ("agent", "link", "link-more", "foot", "about"):
            assert evil in text(driver, place), (place, text(driver, place))
        for place in ("sources", "tables", "pipelines", "streams", "sinks", "errors", "problems", "refused"):
            assert evil in text(driver, place), (place, text(driver, place))
        assert driver.execute_script("return [window.evil === undefined, document.images.length, document.scripts.length]") == [True, 0, 1]
        assert complaints(driver) == [], complaints(driver)
        screen(driver, 390, 844, mobile=True)
        assert driver.execute_script("return document.documentElement.scrollWidth <= window.innerWidth"), "a long name makes the page wider than the screen"


def a_pipeline_with_several_outputs_has_a_row_for_each_stream(program):
    with agent(program) as (port, _), InFront(port, plant()) as front, browser() as driver:
        screen(driver, 1280)
        loaded(driver, front.address)
        rows = "return [...document.querySelectorAll('#streams tr')].map((row) => [row.querySelector('.tag').textContent.slice(2), Number(row.children[1].textContent), row.children[3].textContent])"
        asked = front.asked
        wait_for("a few more answers", lambda: front.asked > asked + 3, SECONDS)
        found = driver.execute_script(rows)
        assert [(topic, waiting) for topic, _, waiting in found] == [("plant.overheating", "0"), ("plant.machine-averages", "380"), ("plant.machine-averages-by-site", "120")], found
        assert 30 < found[1][1] < 55 and 8 < found[2][1] < 16, f"41 and 12 a second, not {found}"


def sink(pipeline, destination, records, **changes):
    return {"pipeline": pipeline, "destination": destination, "state": "", "trouble": "", "troubled_for_ms": 0, "records": records, "bytes": records * 180, "backlog": 0, "errors": 0, "refused": 0, "missing": 0, **changes}


SINKS = [sink("averages", "file:/var/lib/rivulet/out/averages.jsonl", 402_113, state="open, 41 MiB"),
         sink("averages", "mqtt://localhost:1883", 381_002, trouble="localhost:1883: Connection refused", troubled_for_ms=61_000, backlog=21_111, errors=7, refused=3, missing=2)]


def local_outputs_are_shown_with_their_trouble_and_without_a_word_of_kafka(program):
    with agent(program) as (port, _), InFront(port, plant(forward=None, sinks=SINKS)) as front, browser() as driver:
        screen(driver, 1280)
        loaded(driver, front.address)
        shown = driver.execute_script("return [...document.querySelectorAll('#sinks tr')].map((row) => [row.querySelector('.name').textContent, row.querySelector('.chips').textContent, ...[2, 3, 4].map((i) => row.children[i].textContent)])")
        assert shown == [[SINKS[0]["destination"], "", "0", "0", "402,113"], [SINKS[1]["destination"], "takes nothing: localhost:1883: Connection refusedmissing 2", "21,111", "3", "381,002"]], shown
        assert text(driver, "link-more") == "no kafka section: local outputs only", text(driver, "link-more")
        said = driver.execute_script("return document.getElementById('main').innerText.replace('no kafka section', '')")
        assert "kafka" not in said.lower(), said


def a_configuration_that_was_refused_is_said_until_the_next_good_one(program):
    moving, config = plant(), {}
    with agent(program) as (port, _), InFront(port, lambda: {**moving(), "config": {**moving()["config"], **config}}) as front, browser() as driver:
        screen(driver, 1280)
        loaded(driver, front.address)
        shown = "return getComputedStyle(document.getElementById('refused')).display"
        assert driver.execute_script(shown) == "none" and text(driver, "health") == "Healthy"
        config.update(REFUSED)
        wait_for("the page to tell of the refusal", lambda: driver.execute_script(shown) != "none", SECONDS)
        assert REFUSED["problem"] in text(driver, "refused") and text(driver, "health") == "Healthy", "the configuration before is at work"
        config.clear()
        wait_for("the page to forget it", lambda: driver.execute_script(shown) == "none", SECONDS)


def trouble_is_seen_at_a_glance_and_an_agent_that_is_gone_is_said(program):
    with agent(program) as (port, _), InFront(port, plant(**TROUBLE), hour((110, 180))) as front, browser() as driver:
        screen(driver, 1280)
        loaded(driver, front.address)
        assert text(driver, "health") == "Needs a look" and "plant.overheating" in text(driver, "problems")
        assert driver.execute_script("return getComputedStyle(document.getElementById('problems')).display") != "none"
        assert text(driver, "link") == "offline" and "Connection refused" in text(driver, "link-more")
        marked = driver.execute_script("return [...document.querySelectorAll('#plot-wait .band')].map((n) => n.getBoundingClientRect().width / (n.ownerSVGElement.clientWidth - 46))")
        assert len(marked) == 1 and abs(marked[0] - 70 / 180) < 0.01, f"the time without a link is not marked as it was: {marked}"
        driver.execute_script("const n = document.getElementById('plot-wait'), b = n.getBoundingClientRect(); n.dispatchEvent(new PointerEvent('pointermove', {clientX: b.right - 60, clientY: b.top + 50}))")
        assert "link down" in text(driver, "plot-wait-now") and "waiting" in text(driver, "plot-wait-now"), text(driver, "plot-wait-now")
        assert driver.execute_script("return document.title").startswith("⚠")
        front.dead = True
        wait_for("the page to say that nobody answers", lambda: text(driver, "health").startswith("No answer since"), SECONDS)
        front.dead = False
        wait_for("the page to go on", lambda: text(driver, "health") == "Needs a look", SECONDS)


def it_reads_well_light_dark_and_narrow(program):
    """No sideways scrolling, nothing cut, enough contrast; --shots keeps the pictures."""
    for name, status, history in (("healthy", plant(), hour((60, 84))), ("trouble", plant(**TROUBLE), hour((110, 180))), ("local", plant(forward=None, sinks=SINKS), hour())):
        with agent(program) as (port, _), InFront(port, status, history) as front, browser() as driver:
            for label, width, height, dark, mobile in (("light", 1280, 900, False, False), ("dark", 1280, 900, True, False), ("tablet", 800, 1000, False, False), ("phone", 390, 844, False, True),
                                                       ("phone-dark", 390, 844, True, True)):
                screen(driver, width, height, dark, mobile)
                loaded(driver, front.address)
                wait_for("a little history of each source", lambda: driver.execute_script("return document.querySelectorAll('#sources .spark path').length") >= 3, SECONDS)
                shoot(driver, f"{name}-{label}")
                assert driver.execute_script("return document.documentElement.scrollWidth") <= width, f"{label}: wider than the screen"
                cut = driver.execute_script("return [...document.querySelectorAll('.big, td, .name, .chip, h2')].filter((n) => n.scrollWidth > n.clientWidth + 1 && n.clientWidth > 0).map((n) => n.textContent)")
                assert cut == [], f"{label}: cut off: {cut}"
                dim = driver.execute_script(CONTRAST)
                assert dim == [], f"{label}: too little contrast: {dim}"


# Texts whose colour is closer than 4.5 : 1 (WCAG 2.2, 1.4.3) to the card that they stand on.
CONTRAST = """
const parse = (c) => c.match(/[\\d.]+/g).map(Number);
const light = ([r, g, b]) => { const f = (v) => (v /= 255) <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4; return 0.2126 * f(r) + 0.7152 * f(g) + 0.0722 * f(b); };
const below = (n) => { let layers = []; for (; n; n = n.parentElement) { const c = parse(getComputedStyle(n).backgroundColor); if (c.length < 4 || c[3] > 0) layers.push(c); if (c.length < 4) break; }
  let under = [255, 255, 255]; for (const c of layers.reverse()) { const a = c.length < 4 ? 1 : c[3]; under = under.map((u, i) => u * (1 - a) + c[i] * a); } return under; };
return [...document.querySelectorAll('h1,h2,p,b,small,td,th,span,time,a,li')].filter((n) => n.textContent.trim() && n.children.length === 0 && n.getClientRects().length && !n.closest('.zero'))
  .map((n) => { const a = light(parse(getComputedStyle(n).color)), b = light(below(n)); return [(Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05), n.textContent]; }).filter((x) => x[0] < 4.5).map((x) => x[0].toFixed(2) + ' ' + x[1]);
"""


def resident(pid, what="VmRSS"):
    with open(f"/proc/{pid}/status") as file:
        return int(next(line for line in file if line.startswith(what + ":")).split()[1])


def steady(pid, what="VmRSS"):
    """KiB, when its start is over and it no longer grows."""
    history = []
    wait_for("the agent's memory to be steady", lambda: history.append(resident(pid, what)) or max(history[-40:]) - min(history[-40:]) < 16 and len(history) >= 40, 60, every=0.1)
    return history[-1]


def own_memory(pid):
    """What the process may write, all of it: heaps, stacks, its data. (What it has of files is in the page cache, and the kernel may drop it.)"""
    with open(f"/proc/{pid}/maps") as maps, open(f"/proc/{pid}/mem", "rb", buffering=0) as memory:
        for line in maps:
            addresses, rights, *_ = line.split()
            begin, end = (int(address, 16) for address in addresses.split("-"))
            if "w" in rights:
                yield os.pread(memory.fileno(), end - begin, begin)


def the_page_costs_no_memory_before_somebody_looks(program):
    """No piece of it is in the agent's own memory, which is no larger than that of an agent without a status listener (as equal as two of them are)."""
    with agent(program) as (port, _):
        page = get(port, "/")[2]
    pieces = [page[at:at + 64] for at in range(0, len(page) - 64, 1024)]
    with agent(program) as (port, pid):
        own = b"\0".join(own_memory(pid))
        assert b"gateway-042" in own, "the measurement sees nothing"
        copied = [piece for piece in pieces if piece in own]
        assert not copied, f"{len(copied)} of {len(pieces)} pieces of the page: {copied[0]}"
        listening = steady(pid, "RssAnon")
    with agent(program, listens=False) as (_, pid):
        silent = steady(pid, "RssAnon")
    print(f"{listening} KiB of its own memory with a status listener, {silent} KiB without")
    assert listening - silent < 256


def the_page_costs_the_agent_little_memory(program):
    """After 200 looks no more than its own pages and a few buffers are resident."""
    with agent(program) as (port, pid):
        before = steady(pid)
        for _ in range(200):
            assert get(port, "/")[0] == 200 and get(port, "/status")[0] == 200 and get(port, "/history")[0] == 200
        grown = resident(pid) - before
        print(f"resident {before} KiB before the first look, {grown:+} KiB after 200")
        assert grown < 256, f"{grown} KiB more after 200 looks"


FACTS = {name: what for name, what in globals().items() if inspect.isfunction(what) and list(inspect.signature(what).parameters) == ["program"] and not hasattr(what, "__wrapped__")}


def main():
    global SHOTS
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rivulet")
    parser.add_argument("--shots")
    parser.add_argument("--list", action="store_true")
    parser.add_argument("name", nargs="*", choices=[*sorted(FACTS), []])
    given = parser.parse_args()
    if given.list:
        print("\n".join(FACTS))
        return
    SHOTS = given.shots
    for name in given.name or FACTS:
        FACTS[name](given.rivulet)
        print(f"{name}: ok", flush=True)


if __name__ == "__main__":
    main()
