#!/usr/bin/env python3
"""What Prometheus and Grafana see: metrics.py --rivulet PROGRAM [NAME...]. `--list` prints the names.

promtool (Debian's package prometheus) judges the running agent's /metrics, the alert rules and their unit tests; every metric that
the dashboard and the rules ask for must be one that the agent has."""
import argparse
import inspect
import json
import os
import pathlib
import re
import shutil
import subprocess

from status_page import agent, get

PACKAGING = pathlib.Path(__file__).parents[2] / "packaging"
RULES = PACKAGING / "prometheus" / "rivulet-rules.yaml"
DASHBOARD = PACKAGING / "grafana" / "rivulet.json"
PROMTOOL = shutil.which("promtool") or "/usr/bin/promtool"
NOT_OURS = {"up", "ALERTS"}
# A local output adds rivulet_sink_*, a kafka section rivulet_forward_*; nobody needs to answer there.
OUTPUTS = """  copy: {{from: machines, to: {{file: {{path: "{folder}/copy.jsonl"}}}}}}
kafka: {{brokers: ["127.0.0.1:1"]}}
"""


def families(program):
    """Name -> type of every metric, from an agent with a local output and a kafka section, and the page itself."""
    with agent(program, more=OUTPUTS) as (port, _):
        page = get(port, "/metrics")[2].decode()
    return dict(re.findall(r"^# TYPE (\S+) (\S+)$", page, re.M)), page


def asked_for(expression):
    text = re.sub(r'"[^"]*"', '""', expression)  # no label values
    text = re.sub(r"\{[^}]*\}|\b(by|on|without|ignoring|group_left|group_right)\s*\([^)]*\)", "", text)
    return {name for name in re.findall(r"\b([a-zA-Z_:][a-zA-Z0-9_:]*)\b(?!\s*\()", text) if name.startswith(("rivulet_", "process_"))} | {
        name for name in re.findall(r"\b(\w+)\b(?=\{)", expression)}


def promtool_has_nothing_to_say_about_the_metrics(program):
    _, page = families(program)
    done = subprocess.run([PROMTOOL, "check", "metrics"], input=page, capture_output=True, text=True)
    assert done.returncode == 0 and not done.stdout and not done.stderr, done.stdout + done.stderr + page


def each_metric_has_a_help_and_its_samples_stand_together(program):
    types, page = families(program)
    current, over = None, set()
    for line in page.splitlines():
        if line.startswith("# HELP "):
            name, text = line[7:].split(" ", 1)
            assert text.endswith(".") and name not in over, line
            current = name
            over.add(name)
        elif not line.startswith("#"):
            sample = re.match(r"([a-z_:]+)(?:\{.*\})? (\S+)$", line)
            assert sample and sample.group(1) == current, line
            float(sample.group(2))
    for name, kind in types.items():
        assert (kind == "counter") == name.endswith("_total"), (name, kind)


def the_rules_are_sound_and_fire_when_they_should(program):
    assert program
    done = subprocess.run([PROMTOOL, "check", "rules", str(RULES)], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    done = subprocess.run([PROMTOOL, "test", "rules", str(RULES.with_name("rivulet-rules-test.yaml"))], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


def every_query_of_rules_and_dashboard_asks_for_what_there_is(program):
    types, _ = families(program)
    known = set(types) | NOT_OURS
    rules = re.findall(r"^ +expr: (?:>-\n((?: {10,}.*\n)+)|(.*)$)", RULES.read_text(), re.M)
    expressions = [folded or single for folded, single in rules]
    dashboard = json.loads(DASHBOARD.read_text())
    charts = [panel for panel in dashboard["panels"] if panel["type"] != "row"]
    expressions += [target["expr"] for panel in charts for target in panel["targets"]]
    expressions += [variable["definition"][len("label_values("):].split(",")[0] for variable in dashboard["templating"]["list"] if variable["type"] == "query"]
    assert len(expressions) > 40 and all(panel["targets"] for panel in charts)
    for expression in expressions:
        names = asked_for(expression)
        assert names, f"asks for nothing of ours: {expression}"
        assert names <= known, f"no such metric: {sorted(names - known)} in {expression}"
    for panel in charts:
        for target in panel["targets"]:
            for name in asked_for(target["expr"]):
                counted = re.search(r"(rate|increase|resets)\(" + name, target["expr"])
                assert bool(counted) == (types[name] == "counter"), f"{panel['title']}: a counter is shown as its rate, a gauge is not: {target['expr']}"
    # The queries are PromQL: promtool reads them as rules.
    text = "groups: [{name: dashboard, rules: [" + ",".join(json.dumps({"record": f"panel:{number}", "expr": e.replace("$__rate_interval", "5m")}) for number, e in enumerate(expressions)) + "]}]\n"
    done = subprocess.run([PROMTOOL, "check", "rules", "--lint=none", "/dev/stdin"], input=text, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


FACTS = {name: what for name, what in globals().items() if inspect.isfunction(what) and list(inspect.signature(what).parameters) == ["program"] and what is not families and what.__module__ == __name__}


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rivulet")
    parser.add_argument("--list", action="store_true")
    parser.add_argument("name", nargs="*", choices=[*sorted(FACTS), []])
    given = parser.parse_args()
    if given.list:
        print("\n".join(FACTS))
        return
    for name in given.name or FACTS:
        FACTS[name](os.path.abspath(given.rivulet))
        print(f"{name}: ok", flush=True)


if __name__ == "__main__":
    main()
