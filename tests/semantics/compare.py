#!/usr/bin/env python3
"""`rivulet replay` against the model of agent/pipeline/SEMANTICS.md: compare.py --rivulet PROGRAM [--cases-per-kind N] [--seed S].

Every output of every case, in order, with its timestamp and window; and which record was dropped (late or null). Kinds: those in KINDS.
A case that differs is printed with its configuration and its input, so that it can be run by hand.
"""
import argparse
import concurrent.futures
import json
import os
import subprocess
import sys
import tempfile

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import cases  # noqa: E402
import model  # noqa: E402

KINDS = [f"{window}_{emit}" for window in cases.TYPES for emit in cases.EMITS] + ["agg", "suppress_time"]
EMIT = {"update": "every-change", "close": "closed", "suppress": "updates"}


broken_grace_ms = 0  # a control: with a grace of one more the comparison must fail


def configuration(op):
    window = ""
    if op["kind"] == "window_agg":
        what = op["window"]
        size = {"tumbling": lambda: f"tumbling: {what['size']}ms", "hopping": lambda: f"hopping: {{size: {what['size']}ms, advance: {what['advance']}ms}}",
                "sliding": lambda: f"sliding: {what['diff']}ms", "session": lambda: f"session: {what['gap']}ms"}[what["type"]]()
        window = f"window: {{{size}, grace: {op['grace'] + broken_grace_ms}ms}}, "
    function = "count(*)" if op["agg"] == "count" else f"{op['agg']}(v)"
    steps = f"{{aggregate: {{{window}select: {{r: {function}}}, emit: {EMIT[op.get('emit', 'update')]}}}}}"
    if op.get("emit") == "suppress":
        steps += ", {suppress: {until: closed}}"
    if op["kind"] == "suppress_time":
        steps += f", {{suppress: {{limit: {op['limit']}ms}}}}"
    return f"sources: {{a: {{stdin: {{}}}}}}\npipelines:\n  p: {{from: a, steps: [{steps}], to: out}}\n"


def lines(case):
    def value(given):
        return given if given is None or isinstance(given, dict) else {"v": given}
    return "".join(json.dumps({"source": "a", "key": one["key"], "value": value(one["value"]), "ts": one["ts"]}) + "\n" for one in case["inputs"])


def replayed(program, case):
    with tempfile.NamedTemporaryFile("w", suffix=".yaml") as file:
        file.write(configuration(case["op"]))
        file.flush()
        done = subprocess.run([program, "replay", file.name, "--drops"], input=lines(case), capture_output=True, text=True, timeout=60)
    if done.returncode != 0:
        raise AssertionError(f"{case['name']}: {done.stderr}{configuration(case['op'])}")
    outputs, drops = [], {}
    for text in done.stdout.splitlines():
        one = json.loads(text)
        if "drop" in one:
            drops[one["after"]] = drops.get(one["after"], 0) + one["drop"]["n"]
        elif "topic" in one:
            window = one.get("window", {})
            outputs.append((one["after"], one["key"], window.get("start"), window.get("end"), one["ts"], one["value"] and nothing(case, one["value"]["r"])))
    return outputs, drops


def nothing(case, value):
    """What an aggregate of nulls alone is: null in rivulet; a word, 0 of sum and [] of collect in the model's format."""
    return value if value is not None else {"sum": 0, "collect": []}.get(case["op"]["agg"], "EMPTY")


def expected(case):
    plain = [{**one, "value": one["value"].get("v", one["value"]) if isinstance(one["value"], dict) else one["value"]} for one in case["inputs"]]
    result = model.run({**case, "inputs": plain})
    outputs = [(one["after_input"], one["key"], one.get("window_start"), one.get("window_end"), one["ts"], one["value"]) for one in result["outputs"]]
    return outputs, {drop["after_input"]: drop["n"] for drop in result["drops"]}


def differs(program, case):
    got, got_drops = replayed(program, case)
    want, want_drops = expected(case)
    if case["op"].get("window", {}).get("type") == "sliding":  # rule 4: counting a late record once is enough
        got_drops, want_drops = set(got_drops), set(want_drops)
    if got == want and got_drops == want_drops:
        return None
    return (f"{case['name']}\n{configuration(case['op'])}{lines(case)}not given: {[one for one in want if one not in got]}\nnot expected: {[one for one in got if one not in want]}\n"
            f"drops {got_drops}, expected {want_drops}; same outputs in another order: {sorted(map(str, got)) == sorted(map(str, want))}")


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rivulet", required=True)
    parser.add_argument("--cases-per-kind", type=int, default=200)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--kind", action="append", choices=KINDS)
    parser.add_argument("--broken", action="store_true", help="give rivulet a grace of 1 ms too much: exit 0 only if that is noticed")
    arguments = parser.parse_args()
    global broken_grace_ms
    broken_grace_ms = 1 if arguments.broken else 0
    bad = total = 0
    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        for kind in arguments.kind or KINDS:
            # A text is no number: rivulet sets that record aside where Kafka Streams' aggregator in the oracle ignores it.
            made = [case for case in cases.make(kind, arguments.cases_per_kind, arguments.seed) if not any(isinstance(one["value"], str) for one in case["inputs"])]
            found = [text for text in pool.map(lambda case: differs(arguments.rivulet, case), made) if text]
            outputs = sum(len(expected(case)[0]) for case in made)
            print(f"{kind}: {len(made)} cases, {outputs} outputs, {len(found)} differ", flush=True)
            for text in found[:0 if arguments.broken else 2]:
                print(text)
            assert outputs > 0, f"{kind}: no output at all, so nothing was compared"
            total, bad = total + len(made), bad + len(found)
    print(f"{total} cases, {bad} differ (seed {arguments.seed})")
    return int((bad > 0) != arguments.broken)


if __name__ == "__main__":
    sys.exit(main())
