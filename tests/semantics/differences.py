"""Where rivulet is better on purpose: which listed differences can apply to a case, decided from the case alone, and how they are taken away
so that the rest can still be compared with Kafka Streams. D1 is retention, ample here; D8 is nothing that a case can hold (differences_test.py).

R14 is not in the list, but in that rule: a window whose end lies before 0."""

# What D6 and D7 change can be taken away from both sides; all else must then be equal.
COMPARABLE = {"D6", "D7"}


def possible(case):
    op, inputs = case["op"], [record for record in case["inputs"] if record["ts"] >= 0]
    kind = op["kind"]
    if kind == "window_agg" and op["window"]["type"] == "sliding":
        return _sliding(op, inputs)
    if kind == "window_agg" and op["window"]["type"] == "session":
        return {"D2"} if op["emit"] == "suppress" or _lateness(inputs, lambda record: record["key"] is not None) > op["grace"] else set()
    if kind == "stream_stream_join":
        return _stream_stream(op, inputs)
    found = set()
    if kind == "stream_table_join":
        if op.get("grace") is not None and op["join"] == "left" and any(one["key"] is None and one["value"] is not None and one["stream"] == "a" for one in inputs):
            found.add("D4")
        if op.get("versioned") and _same_ts_tombstone(inputs, "b"):
            found.add("D5")
    if kind == "table_table_join":
        if op["join"] != "outer" and any(one["value"] is None for one in inputs):
            found.add("D7")
        if any(op.get(side + "_versioned") and _same_ts_tombstone(inputs, stream) for side, stream in (("left", "a"), ("right", "b"))):
            found.add("D5")
    if kind == "fk_join":
        found.add("D7")  # already the timestamp of a right row's update
    return found


def _lateness(inputs, counts):
    """How far behind stream time the latest-come record was."""
    time, worst = -1, 0
    for record in inputs:
        if counts(record):
            time = max(time, record["ts"])
            worst = max(worst, time - record["ts"])
    return worst


def _sliding(op, inputs):
    span, found = op["window"]["diff"], set()
    counted = [record for record in inputs if record["key"] is not None and record["value"] is not None]
    if span == 0:
        found.add("D4")
    if op["emit"] == "suppress":
        found.add("D2")
    times = {(record["key"], record["ts"]) for record in counted}
    if any((key, ts - 1 - span) in times for key, ts in times):
        found.add("D6")
    if _lateness(counted, lambda record: True) > op["grace"]:
        found.add("D9")
    return found


def _stream_stream(op, inputs):
    found = _stream_stream_late(op, inputs)
    low = min(op["before"], op["after"])
    return found | {"R14"} if low < 0 and any(one["ts"] == 0 for one in inputs) and any(one["ts"] + low < 0 for one in inputs) else found


def _stream_stream_late(op, inputs):
    late = _lateness(inputs, lambda record: True)
    # Kafka Streams forgets a record at before + after + grace, the last millisecond not included.
    if late > min(op["grace"], min(op["before"], op["after"]) + op["grace"] - 1):
        return {"D1", "D3"}
    if op["join"] == "inner":
        return set()

    def matches(one):
        low, high = (-op["before"], op["after"]) if one["stream"] == "a" else (-op["after"], op["before"])
        return any(other["stream"] != one["stream"] and other["key"] == one["key"] and other["value"] is not None and low <= other["ts"] - one["ts"] <= high for other in inputs)
    pads = "a" if op["join"] == "left" else "ab"
    alone = any(one["stream"] in pads and one["key"] is not None and one["value"] is not None and not matches(one) for one in inputs)
    # Pads wait for their trigger, and a record newer than stream time whose match is still to come may be padded before it comes.
    return {"D3"} if alone or late > 0 or min(op["before"], op["after"]) < 0 else set()


def _same_ts_tombstone(inputs, stream):
    seen = set()
    for record in inputs:
        if record["stream"] == stream and record["key"] is not None:
            if record["value"] is None and (record["key"], record["ts"]) in seen:
                return True
            seen.add((record["key"], record["ts"]))
    return False


def neutral(case, result):
    """Without what is tolerated: repeated tombstones of a join (D7), a sliding window emitted twice for a record (D6). A tombstone of a
    foreign-key join may carry the newer of its trigger and the other side's row, or of its trigger and the whole result."""
    kind = case["op"]["kind"]
    outputs = result["outputs"]
    if kind in ("table_table_join", "fk_join"):
        rows, kept = {}, []
        for output in outputs:
            last = rows.get(output["key"])
            if output["value"] is None and last is None:
                continue
            rows[output["key"]] = None if output["value"] is None else output["ts"]
            if output["value"] is None and kind == "fk_join":
                output = dict(output, or_ts=max(case["inputs"][output["after_input"]]["ts"], last))
            kept.append(output)
        outputs = kept
    if kind == "window_agg" and case["op"]["window"]["type"] == "sliding":
        outputs = [output for index, output in enumerate(outputs) if index == 0 or output != outputs[index - 1]]
    return dict(result, outputs=outputs)


def comparable(case, result):
    """Neutral, and without what only D7 changes: the timestamps of foreign-key joins."""
    result = neutral(case, result)
    if case["op"]["kind"] != "fk_join":
        return result
    return dict(result, outputs=[dict(output, ts=0, or_ts=0) for output in result["outputs"]])
