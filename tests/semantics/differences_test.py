#!/usr/bin/python3
"""Each listed difference by a named case: what Kafka Streams does, shown by running it, and what rivulet does instead.

A case is written as `stream key value ts`, - for no key; a result as `input: key [window] value @ts`, left|right for joins. Both sides are
what was expected by the text before it was run; the model of rivulet's semantics must agree with rivulet's side.
"""
import argparse
import json
import os
import subprocess
import sys
import tempfile

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, HERE)
import model  # noqa: E402
import oracle  # noqa: E402
import replay  # noqa: E402


def window(kind, length, grace, emit, agg="count", **more):
    size = {"tumbling": "size", "hopping": "size", "sliding": "diff", "session": "gap"}[kind]
    return {"kind": "window_agg", "window": {"type": kind, size: length, **more}, "grace": grace, "agg": agg, "emit": emit}


def pairs(join, before, after, grace):
    return {"kind": "stream_stream_join", "join": join, "before": before, "after": after, "grace": grace}


# (fact, operation, input, Kafka Streams, rivulet). The cases of D1 keep Kafka Streams' default retention, the others ten years.
D1 = [
    ("D1 a window that ended long before the next record is still emitted", window("hopping", 10, 0, "close", advance=5),
     ["a k 1 3", "a k 1 30"], [], ["1: k [0,10] 1 @3"]),
    ("D1 each tumbling window becomes final across gaps", window("tumbling", 10, 0, "close"),
     ["a k 1 3", "a k 1 30", "a k 1 90"], [], ["1: k [0,10] 1 @3", "2: k [30,40] 1 @30"]),
    ("D1 a session within grace is still there to merge with", window("session", 5, 20, "update"),
     ["a k 1 0", "a k 1 25", "a k 1 5"],
     ["0: k [0,0] 1 @0", "1: k [25,25] 1 @25", "2: k [5,5] 1 @5"],
     ["0: k [0,0] 1 @0", "1: k [25,25] 1 @25", "2: k [0,0] null @0", "2: k [0,5] 2 @5"]),
]
AMPLE = [
    ("D2 a final session is emitted once and does not grow", window("session", 5, 0, "close"),
     ["a k 1 0", "a x 1 6", "a k 1 4", "a x 1 20"],
     ["1: k [0,0] 1 @0", "3: k [0,4] 2 @4", "3: x [6,6] 1 @6"],
     ["1: k [0,0] 1 @0", "3: k [4,4] 1 @4", "3: x [6,6] 1 @6"]),
    ("D2 a final session takes no part in merging when every change is emitted, either", window("session", 5, 0, "update"),
     ["a k 1 0", "a x 1 6", "a k 1 4", "a x 1 20"],
     ["0: k [0,0] 1 @0", "1: x [6,6] 1 @6", "2: k [0,0] null @0", "2: k [0,4] 2 @4", "3: x [20,20] 1 @20"],
     ["0: k [0,0] 1 @0", "1: x [6,6] 1 @6", "2: k [4,4] 1 @4", "3: x [20,20] 1 @20"]),
    ("D2 suppress holds a session back until it can no longer grow", window("session", 5, 0, "suppress"),
     ["a k 1 0", "a x 1 5", "a k 1 5", "a x 1 20"],
     ["1: k [0,0] 1 @0", "3: k [0,5] 2 @5", "3: x [5,5] 1 @5"],
     ["3: k [0,5] 2 @5", "3: x [5,5] 1 @5"]),
    ("D2 suppress emits a sliding window once", window("sliding", 5, 0, "suppress"),
     ["a k 1 5", "a x 1 5", "a k 1 5", "a x 1 11"],
     ["0: k [0,5] 1 @5", "1: x [0,5] 1 @5", "2: k [0,5] 2 @5", "3: x [6,11] 1 @11"],
     ["3: k [0,5] 2 @5", "3: x [0,5] 1 @5"]),
    ("D3 a record out of order within grace is matched and not padded as well (KAFKA-19536)", pairs("left", 5, 5, 10),
     ["b x 1 20", "a k 1 12", "b k 2 12"],
     ["1: k 1|null @12", "2: k 1|2 @12"],
     ["2: k 1|2 @12"]),
    ("D3 what is no longer open does not match (KAFKA-16123)", pairs("inner", 2, 2, 0),
     ["a k 1 0", "b x 1 4", "b k 2 0"],
     ["2: k 1|2 @0"],
     []),
    ("D3 a pad waits for no trigger of its own side", pairs("outer", 1, 9, 0),
     ["a k 1 0", "b x 1 10", "b x 2 11", "a x 3 12"],
     ["1: k 1|null @0", "3: x 3|2 @12"],
     ["1: k 1|null @0", "3: x null|1 @10", "3: x 3|2 @12"]),
    ("D4 sliding windows of difference 0 hold the records of one millisecond", window("sliding", 0, 0, "update"),
     ["a k 1 5", "a k 2 5", "a k 3 6"],
     "Window endMs must be greater than window startMs",
     ["0: k [5,5] 1 @5", "1: k [5,5] 2 @5", "2: k [6,6] 1 @6"]),
    ("D4 a null key in a left stream-table join with grace is padded at once and moves no clock",
     {"kind": "stream_table_join", "join": "left", "versioned": {"history": 20}, "grace": 5},
     ["b k 1 0", "a - 2 9", "a k 3 4", "a k 4 9"],
     "key cannot be null",
     ["1: - 2|null @9", "3: k 3|1 @4"]),
    ("D5 a tombstone at the time of the only version is remembered", {"kind": "stream_table_join", "join": "left", "versioned": {"history": 20}},
     ["b k 1 5", "b k null 5", "b k 2 3", "a k 9 7"],
     ["3: k 9|2 @7"],
     ["3: k 9|null @7"]),
    ("D6 a sliding window is emitted once for a record", window("sliding", 4, 0, "update"),
     ["a k 1 9", "a k 1 10", "a k 1 15"],
     ["0: k [5,9] 1 @9", "1: k [10,14] 1 @10", "1: k [6,10] 2 @10", "2: k [11,15] 1 @15", "2: k [11,15] 1 @15"],
     ["0: k [5,9] 1 @9", "1: k [10,14] 1 @10", "1: k [6,10] 2 @10", "2: k [11,15] 1 @15"]),
    ("D7 a join's tombstone ends a row", {"kind": "table_table_join", "join": "inner"},
     ["b k 1 0", "a k null 1", "a k 2 2", "a k null 3", "a k null 4"],
     ["1: k null @1", "2: k 2|1 @2", "3: k null @3", "4: k null @4"],
     ["2: k 2|1 @2", "3: k null @3"]),
    ("D7 a foreign-key result carries the newer time of both sides, whoever triggers", {"kind": "fk_join", "join": "inner"},
     ['a k {"fk":"x"} 9', "b x 1 3", "a k null 10", 'a k {"fk":"y"} 11', "a k null 12"],
     ['1: k {"fk": "x"}|1 @3', "2: k null @10", "4: k null @12"],
     ['1: k {"fk": "x"}|1 @9', "2: k null @10"]),
    ("D9 a late record that one window took is in the windows made later, too", window("sliding", 4, 2, "update", "collect"),
     ["a k 1 27", "a k 2 23", "a k 3 25"],
     ["0: k [23,27] [1] @27", "1: k [23,27] [1, 2] @27", "1: k [24,28] [1] @27",
      "2: k [24,28] [1, 3] @27", "2: k [23,27] [1, 2, 3] @27", "2: k [21,25] [3] @25", "2: k [26,30] [1] @27"],
     ["0: k [23,27] [1] @27", "1: k [23,27] [1, 2] @27", "1: k [24,28] [1] @27",
      "2: k [24,28] [1, 3] @27", "2: k [23,27] [1, 2, 3] @27", "2: k [21,25] [2, 3] @25", "2: k [26,30] [1] @27"]),
    ("R14 a negative bound that leaves no time from 0 on matches nothing", pairs("inner", -5, 9, 0),
     ["a k 1 0", "b k 2 3"],
     ["1: k 1|2 @3"],
     []),
]

# D8: (fact, the pipeline's time, the aggregate, replay's options, input, Kafka Streams, rivulet). A number is the wall clock moving on.
COUNT = {"select": {"r": "count(*)"}, "emit": "closed", "window": {"tumbling": "10ms", "grace": "0ms"}}
D8 = [
    ("D8 idle closes a window by the wall clock", {"idle": "1000ms"}, window("tumbling", 10, 0, "close"), [], ["a k 1 3", 500, 600],
     [], ["2: k [0,10] 1 @3"]),
    ("D8 with scope key a clock that is fast makes nobody else late", {"scope": "key"}, window("tumbling", 10, 0, "update"), [],
     ["a fast 1 1000", "a slow 1 5"], ["0: fast [1000,1010] 1 @1000"], ["0: fast [1000,1010] 1 @1000", "1: slow [0,10] 1 @5"]),
    ("D8 stream time survives a restart", {}, window("tumbling", 10, 0, "close"), ["--restart-every", "1"], ["a k 1 3", "a k 1 25", "a k 1 4"],
     ["1: k [0,10] 1 @3"], ["1: k [0,10] 1 @3"]),
]


def record(text):
    stream, key, value, ts = text.split(" ")
    return {"stream": stream, "key": None if key == "-" else key, "value": json.loads(value), "ts": int(ts)}


def case_of(fact, op, inputs):
    return {"name": fact, "op": op, "inputs": [record(one) for one in inputs if isinstance(one, str)]}


def shown(outputs):
    def value(given):
        return f"{json.dumps(given['left'])}|{json.dumps(given['right'])}" if isinstance(given, dict) and "left" in given else json.dumps(given)
    return [f"{one['after_input']}: {one['key'] or '-'}" + (f" [{one['window_start']},{one['window_end']}]" if "window_start" in one else "")
            + f" {value(one['value'])} @{one['ts']}" for one in outputs]


def through_kafka(cases, retention_ms):
    with tempfile.TemporaryDirectory(prefix="semantics-") as folder:
        path = os.path.join(folder, "cases.jsonl")
        with open(path, "w") as file:
            file.writelines(json.dumps(case) + "\n" for case in cases)
        oracle.run(os.path.join(folder, "out"), [path], retention_ms=retention_ms)
        with open(os.path.join(folder, "out", "cases.jsonl")) as file:
            return [json.loads(line) for line in file]


def as_text(result):
    return result["error"]["message"] if "error" in result else shown(result["outputs"])


def with_time(rivulet, time, op, options, inputs):
    """One case whose pipeline has a time of its own, which the oracle's format cannot say."""
    aggregate = dict(COUNT, emit="closed" if op["emit"] == "close" else "every-change")
    config = {"sources": {"a": {"stdin": {}, "decode": "json"}},
              "pipelines": {"main": {"from": "a", **({"time": time} if time else {}), "steps": [{"aggregate": aggregate}], "to": "out"}}}
    lines = [{"advance": one} if isinstance(one, int) else {"source" if name == "stream" else name: value for name, value in record(one).items()} for one in inputs]
    with tempfile.TemporaryDirectory(prefix="semantics-") as folder:
        path = os.path.join(folder, "rivulet.yaml")
        with open(path, "w") as file:
            json.dump(config, file)
        done = subprocess.run([rivulet, "replay", path, "--drops", *options], input="".join(json.dumps(line) + "\n" for line in lines), capture_output=True, text=True, timeout=60)
    if done.returncode != 0:
        return f"exit code {done.returncode}: {done.stderr}", 0
    rows = [json.loads(line) for line in done.stdout.splitlines()]
    outputs = [{"after_input": row["after"], "key": row["key"], "window_start": row["window"]["start"], "window_end": row["window"]["end"],
                "value": row["value"]["r"], "ts": row["ts"]} for row in rows if "topic" in row]
    return shown(outputs), sum(row["drop"]["n"] for row in rows if "drop" in row)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rivulet", default=os.path.join(HERE, "..", "..", "build", "release", "rivulet"))
    given = parser.parse_args()
    wrong = []

    def expect(fact, who, actual, expected):
        right = expected in actual if isinstance(expected, str) else actual == expected
        if not right:
            wrong.append(f"{fact}\n  {who} gives {actual}\n  expected {expected}")

    for facts, retention_ms in ((D1, None), (AMPLE, oracle.TEN_YEARS_MS)):
        cases = [case_of(fact, op, inputs) for fact, op, inputs, _, _ in facts]
        theirs, ours = through_kafka(cases, retention_ms), replay.run(given.rivulet, cases)
        for (fact, _, _, kafka, rivulet), case, their, our in zip(facts, cases, theirs, ours):
            expect(fact, "Kafka Streams", as_text(their), kafka)
            expect(fact, "the model", shown(model.run(case)["outputs"]), rivulet)
            expect(fact, "rivulet", our.get("config_error") or shown(our["outputs"]), rivulet)
    cases = [case_of(fact, op, inputs) for fact, _, op, _, inputs, _, _ in D8]
    for (fact, time, op, options, inputs, kafka, rivulet), their in zip(D8, through_kafka(cases, oracle.TEN_YEARS_MS)):
        expect(fact, "Kafka Streams", as_text(their), kafka)
        outputs, drops = with_time(given.rivulet, time, op, options, inputs)
        expect(fact, "rivulet", outputs, rivulet)
        if "--restart-every" in options:
            expect(fact, "the record that is late after the restart", drops, 1)
    print("\n".join(wrong + [f"{len(D1) + len(AMPLE) + len(D8)} facts, {len(wrong)} wrong"]))
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
