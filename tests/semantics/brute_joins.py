"""Joins by their definitions: over all pairs of records, and over everything that came before."""
from model.values import key_bytes


def stream_stream(case, result):
    """D3: the whole output, recomputed for each input from all pairs."""
    op = case["op"]
    span = {"a": max(op["after"], 0), "b": max(op["before"], 0)}
    pads = {"inner": "", "left": "a", "outer": "ab"}[op["join"]]
    records, time = [], -1
    for index, record in enumerate(case["inputs"]):
        if record["ts"] >= 0:
            time = max(time, record["ts"])
            records.append(dict(record, index=index, time=time, closes=record["ts"] + span[record["stream"]] + op["grace"]))
    joinable = [one for one in records if one["key"] is not None and one["value"] is not None]
    matches = []  # (later, earlier)
    for later in joinable:
        for earlier in joinable:
            left, right = (later, earlier) if later["stream"] == "a" else (earlier, later)
            if (earlier["index"] < later["index"] and earlier["stream"] != later["stream"] and earlier["key"] == later["key"]
                    and left["ts"] - op["before"] <= right["ts"] <= left["ts"] + op["after"] and earlier["closes"] >= later["time"]):
                matches.append((later, earlier))
    matched = {one["index"] for both in matches for one in both}
    expected, drops = [], []
    for record in records:
        due = [one for one in joinable if one["stream"] in pads and one["index"] not in matched and one["closes"] >= one["time"] and _closed_by(records, one) is record]
        for one in sorted(due, key=lambda one: (one["ts"], one["stream"] == "a", key_bytes(one["key"]), one["index"])):
            expected.append((record["index"], one["key"], _pair(one, None), one["ts"]))
        mine = sorted((earlier for later, earlier in matches if later is record), key=lambda one: (one["ts"], one["index"]))
        expected += [(record["index"], record["key"], _pair(record, one), max(record["ts"], one["ts"])) for one in mine]
        alone = record["key"] is None and record["value"] is not None and record["stream"] in pads
        if alone:
            expected.append((record["index"], None, _pair(record, None), record["ts"]))
        unusable = (record["key"] is None or record["value"] is None) and not alone
        if unusable or (record in joinable and record["closes"] < record["time"] and not mine):
            drops.append(record["index"])
    negative = [index for index, record in enumerate(case["inputs"]) if record["ts"] < 0]
    wrong = _first_difference(expected, [(one["after_input"], one["key"], one["value"], one["ts"]) for one in result["outputs"]])
    if [(drop["after_input"], drop["n"]) for drop in result["drops"]] != [(index, 1) for index in sorted(drops + negative)]:
        wrong.append(f"late or dropped: {result['drops']}, expected one after each of {sorted(drops + negative)}")
    return wrong


def _closed_by(records, one):
    return next((later for later in records if later["index"] > one["index"] and one["closes"] < later["time"]), None)


def _pair(one, other):
    sides = {"left": None, "right": None}
    for record in (one, other):
        if record is not None:
            sides["left" if record["stream"] == "a" else "right"] = record["value"]
    return sides


def _first_difference(expected, actual):
    for index in range(max(len(expected), len(actual))):
        one, two = (side[index] if index < len(side) else None for side in (expected, actual))
        if one != two:
            return [f"outputs[{index}] is {two}, by definition {one}"]
    return []


def stream_table(case, result):
    """Each output holds the row as of its time among all table records that had come by then (R17, D4, D5)."""
    op, wrong = case["op"], []
    history = (op.get("versioned") or {}).get("history")
    for output in result["outputs"]:
        rows = [one for one in case["inputs"][:output["after_input"] + 1] if one["stream"] == "b" and one["key"] is not None and one["ts"] >= 0]
        row = _as_of(rows, output["key"], output["ts"], history)
        if output["value"] is None or output["value"]["right"] != row:
            wrong.append(f"after {output['after_input']}, {output['key']} at {output['ts']} is joined with {output['value']}, the table has {row}")
        elif row is None and op["join"] == "inner":
            wrong.append(f"after {output['after_input']}, {output['key']} at {output['ts']} is joined with nothing")
    if op["join"] == "left" and op.get("grace") is None:
        expected = [one["ts"] for one in case["inputs"] if one["stream"] == "a" and one["value"] is not None and one["ts"] >= 0]
        if [one["ts"] for one in result["outputs"]] != expected:
            wrong.append(f"the stream's records are at {expected}, the results at {[one['ts'] for one in result['outputs']]}")
    return wrong


def _accepted(rows, history):
    """What a versioned table takes, with whether it was its key's latest, and the table's time after all."""
    taken, time = [], -1
    for row in rows:
        if history is None or row["ts"] >= time - history:
            latest = history is None or all(one["ts"] <= row["ts"] for one, _ in taken if one["key"] == row["key"])
            taken.append((row, latest))
            time = max(time, row["ts"])
    return taken, time


def _as_of(rows, key, ts, history):
    taken, time = _accepted(rows, history)
    mine = [row for row, _ in taken if row["key"] == key]
    if not mine:
        return None
    if history is None:
        return mine[-1]["value"]
    if ts < time - history and max(row["ts"] for row in mine) > ts:
        return None
    at = max((row["ts"] for row in mine if row["ts"] <= ts), default=None)
    return [row for row in mine if row["ts"] == at][-1]["value"] if at is not None else None


def view(case, result):
    """Results of table joins as a view: after each input it is what the join of the two tables is by definition, each changed key was told,
    and a tombstone follows a row (D7)."""
    op, wrong, told = case["op"], [], {}
    by_input = {}
    for output in result["outputs"]:
        by_input.setdefault(output["after_input"], []).append(output)
    before = {}
    for index in range(len(case["inputs"])):
        outputs = by_input.get(index, [])
        for output in outputs:
            told[output["key"]] = output["value"]
        now = _join(op, case["inputs"][:index + 1])
        if {key: value for key, value in told.items() if value is not None} != {key: row[0] for key, row in now.items()}:
            return wrong + [f"after {index} the results are {told}, the join of the tables is {now}"]
        keys = [output["key"] for output in outputs]
        if keys != sorted(set(keys), key=key_bytes):
            wrong.append(f"after {index}: keys {keys}, expected each once and in order of bytes")
        trigger = case["inputs"][index]["ts"]
        for output in outputs:
            if output["value"] is not None and output["ts"] != max(now[output["key"]][1], trigger):
                wrong.append(f"after {index} the row of {output['key']} is at {output['ts']}, its sides at {now[output['key']][1]}, the trigger at {trigger}")
            if output["value"] is None and not trigger <= output["ts"] <= max(trigger, before.get(output["key"], (None, trigger))[1]):
                wrong.append(f"after {index} the tombstone of {output['key']} is at {output['ts']}, the trigger at {trigger}, what it ends at {before.get(output['key'])}")
        before = now
    return wrong


def _join(op, inputs):
    """key: (row, the newer ts of the sides it is made of)."""
    sides = {}
    for stream, versioned in (("a", "left_versioned"), ("b", "right_versioned")):
        history = (op.get(versioned) or {}).get("history")
        taken, _ = _accepted([one for one in inputs if one["stream"] == stream and one["key"] is not None and one["ts"] >= 0], history)
        latest = {row["key"]: row for row, is_latest in taken if is_latest}
        sides[stream] = {key: row for key, row in latest.items() if row["value"] is not None}
    left, right = sides["a"], sides["b"]
    pads = {"inner": "", "left": "a", "outer": "ab"}[op["join"]]
    joined = {}
    for key in left.keys() | (right.keys() if op["kind"] == "table_table_join" else set()):
        mine = left.get(key)
        theirs = right.get(key) if op["kind"] == "table_table_join" else right.get(_foreign(mine["value"]))
        if (mine or "b" in pads) and (theirs or "a" in pads):
            both = [row for row in (mine, theirs) if row]
            joined[key] = ({"left": mine and mine["value"], "right": theirs and theirs["value"]}, max(row["ts"] for row in both))
    return joined


def _foreign(value):
    found = value.get("fk") if isinstance(value, dict) else None
    return None if found is None else found if isinstance(found, str) else str(found)
