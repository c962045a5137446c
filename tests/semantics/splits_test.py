#!/usr/bin/python3
"""How the input is cut into epochs, and restarts between any two records, change no result: over every kind of step, replay with cuts and
restarts against replay without. With `updates`, which is thinned for each epoch, the last value of each key and window stays the same."""
import argparse
import os
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, HERE)
import cases as generator  # noqa: E402
import replay  # noqa: E402

CUTS = (["--epoch", "7"], ["--epoch", "1000000"], ["--restart-every", "1"], ["--restart-every", "3"], ["--epoch", "5", "--restart-every", "11"])
AGGREGATES = [kind for kind in generator.KINDS if kind.endswith("_update")] + ["agg", "table_group_agg"]


def last_values(result):
    """(key, window): value and timestamp; a tombstone is nothing."""
    last = {}
    for output in result["outputs"]:
        window = (output["key"], output.get("window_start"), output.get("window_end"))
        last.pop(window, None)
        if output["value"] is not None:
            last[window] = (output["value"], output["ts"])
    return last


def compare(given, kind, cases, changes, meaning):
    plain = replay.run(given.rivulet, cases, changes=changes)
    refused = [one["config_error"] for one in plain if "config_error" in one]
    if refused:
        return [f"{kind}: rivulet refuses {len(refused)} of {len(cases)}, the first: {refused[0].splitlines()[0]}"]
    if not any(one["outputs"] for one in plain):
        return [f"{kind}: no output at all, so nothing was compared"]
    wrong = []
    for cut in CUTS:
        for case, one, two in zip(cases, plain, replay.run(given.rivulet, cases, cut, changes)):
            if "config_error" in two or meaning(one) != meaning(two):
                wrong.append(f"{case['name']} with emit {changes} and {' '.join(cut)}: {two.get('config_error') or meaning(two)}\n  expected {meaning(one)}")
    return wrong


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rivulet", default=os.path.join(HERE, "..", "..", "build", "release", "rivulet"))
    parser.add_argument("--cases-per-kind", type=int, default=100)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--kinds", nargs="+", choices=generator.KINDS, default=generator.KINDS)
    given = parser.parse_args()
    wrong = []
    for kind in given.kinds:
        cases = generator.make(kind, given.cases_per_kind, given.seed)
        found = compare(given, kind, cases, "every-change", lambda result: (result["outputs"], result["drops"]))
        if kind in AGGREGATES:
            found += compare(given, kind, cases, "updates", last_values)
        print(f"{kind}: {len(cases)} cases, {len(CUTS)} ways to cut, {len(found)} wrong", flush=True)
        wrong += found[:3]
    print("\n".join(one[:1500] for one in wrong))
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
