"""Windows recomputed from all accepted records. Nothing here is incremental: each check looks at the whole input again."""
import model
from model.values import aggregate, key_bytes


class Input:
    """The records that count, with stream time as it stands at each."""

    def __init__(self, case):
        self.op = case["op"]
        self.window, self.grace = self.op["window"], self.op["grace"]
        self.kind = self.window["type"]
        self.records, self.time_after = [], []
        time = -1
        for index, record in enumerate(case["inputs"]):
            counts = record["ts"] >= 0 and record["key"] is not None and (record["value"] is not None or self.kind != "sliding")
            if counts:
                time = max(time, record["ts"])
                self.records.append(dict(record, index=index, time=time))
            self.time_after.append((time, counts))

    def final_at(self, start, end):
        """The index of the record that makes a window final, or None (D2)."""
        wait = self.grace + (self.window["gap"] if self.kind == "session" else 0)
        for index, (time, counts) in enumerate(self.time_after):
            if counts and (time >= end + wait if self.kind in ("tumbling", "hopping") else time > end + wait):
                return index
        return None

    def worth(self, records):
        return aggregate(self.op["agg"], [(record["index"], record["value"]) for record in records])


def problems(case, result):
    given = Input(case)
    if given.kind == "session" and any(output["ts"] != output["window_end"] for output in result["outputs"]):
        return ["a session's timestamp is not its end"]
    if given.kind == "session" and any(record["ts"] < record["time"] - given.grace for record in given.records):
        return _finals_are_last_revisions(case, given, result)  # what merges depends on the order of arrival: no definition without it
    truth = {"session": _sessions, "sliding": _sliding}.get(given.kind, _fixed)(case, given)
    if case["op"]["emit"] == "update":
        return _last_updates(given, truth, result)
    return _finals(case, given, truth, result)


def _fixed(case, given):
    """(key, start, end): accepted records."""
    size, advance = given.window["size"], given.window.get("advance", given.window["size"])
    truth = {}
    for record in given.records:
        for start in range(0 if record["ts"] < size else (record["ts"] - size) // advance * advance, record["ts"] + 1, advance):
            if start <= record["ts"] < start + size and start + size > record["time"] - given.grace:
                truth.setdefault((record["key"], start, start + size), []).append(record)
    return truth


def _sessions(case, given):
    """With nothing later than grace: the components of records at most a gap apart."""
    truth = {}
    for key in {record["key"] for record in given.records}:
        run = []
        for record in sorted((one for one in given.records if one["key"] == key), key=lambda one: one["ts"]) + [None]:
            if run and (record is None or record["ts"] - run[-1]["ts"] > given.window["gap"]):
                truth[key, run[0]["ts"], run[-1]["ts"]] = run
                run = []
            run.append(record)
    return truth


def _sliding(case, given):
    """D9: windows [t-d, t] and [t+1, t+1+d] hold every record that some window took and that came while they were open."""
    span = given.window["diff"]
    taken = _taken(case, given)
    truth = {}
    for key in {record["key"] for record in given.records}:
        remembered = [record for record in given.records if record["key"] == key and record["index"] in taken]
        # Own windows of what came in time; right windows wherever a record lies in one. Windows of what came late stand in _also_made.
        starts = {max(0, record["ts"] - span) for record in remembered} | {record["ts"] + 1 for record in given.records if record["key"] == key}
        for start in starts:
            inside = [one for one in remembered if start <= one["ts"] <= start + span and start + span >= one["time"] - given.grace]
            if inside:
                truth[key, start, start + span] = inside
    return truth


def _taken(case, given):
    """The records that at least one window took. A record whose own window was closed may still lie in the right window of one before: which
    of these exist goes by the order of arrival, so it is read off the model's updates."""
    span, taken, unsure = given.window["diff"], set(), {}
    for record in given.records:
        if max(0, record["ts"] - span) + span >= record["time"] - given.grace:
            taken.add(record["index"])
        else:
            unsure[record["index"]] = record["ts"]
    if unsure:
        updates = model.run(dict(case, op=dict(case["op"], emit="update")))["outputs"]
        taken |= {one["after_input"] for one in updates if one["after_input"] in unsure and one["window_start"] <= unsure[one["after_input"]]}
    return taken


def _last_updates(given, truth, result):
    last, wrong = {}, []
    for output in result["outputs"]:
        window = (output["key"], output["window_start"], output["window_end"])
        if output["value"] is None:
            last.pop(window, None)
        else:
            last[window] = output
    for window, output in last.items():
        if window not in truth:
            wrong.append(f"{window} is no window of the accepted records")
        elif output["value"] != given.worth(truth[window]) or output["ts"] != _ts(given, truth[window]):
            wrong.append(f"the last update of {window} is {output['value']} at {output['ts']}, expected {given.worth(truth[window])} at {_ts(given, truth[window])}")
    if not _late(given):
        wrong += [f"{window} was never emitted" for window in truth if window not in last]
    return wrong


def _finals(case, given, truth, result):
    emitted, wrong = {}, []
    order = _order(given, case["op"]["emit"])
    before = None
    for output in result["outputs"]:
        window = (output["key"], output["window_start"], output["window_end"])
        if window in emitted:
            wrong.append(f"{window} became final twice")
        emitted[window] = output
        if window not in truth:
            wrong.append(f"{window} is no window of the accepted records")
            continue
        expected = (given.final_at(*window[1:]), given.worth(truth[window]), _ts(given, truth[window]))
        if (output["after_input"], output["value"], output["ts"]) != expected:
            wrong.append(f"{window} became final after {output['after_input']} with {output['value']} at {output['ts']}, expected {expected}")
        place = (output["after_input"], order(window))
        if before is not None and place < before:
            wrong.append(f"{window} is out of order")
        before = place
    if not (given.kind == "sliding" and _late(given)):
        wrong += [f"{window} should be final, and was not emitted" for window in truth if window not in emitted and given.final_at(*window[1:]) is not None]
    return wrong


def _finals_are_last_revisions(case, given, result):
    """D2 for any order of arrival: once each, in time, and each the last revision that every-change emits."""
    revisions = result if case["op"]["emit"] == "update" else model.run(dict(case, op=dict(case["op"], emit="update")))
    last, wrong, seen = {}, [], set()
    for output in revisions["outputs"]:
        last[output["key"], output["window_start"], output["window_end"]] = output
    for output in result["outputs"] if case["op"]["emit"] != "update" else []:
        window = (output["key"], output["window_start"], output["window_end"])
        revision = last.get(window)
        if window in seen:
            wrong.append(f"{window} became final twice")
        seen.add(window)
        if revision is None or (revision["value"], revision["ts"]) != (output["value"], output["ts"]) or output["after_input"] != given.final_at(*window[1:]):
            wrong.append(f"{window} became final after {output['after_input']} with {output['value']}, its last revision is {revision}")
    live = {window for window, output in last.items() if output["value"] is not None}
    if case["op"]["emit"] != "update":
        wrong += [f"{window} should be final, and was not emitted" for window in live - seen if given.final_at(*window[1:]) is not None]
    return wrong


def _ts(given, records):
    return max(record["ts"] for record in records)


def _late(given):
    return any(record["ts"] < record["time"] - given.grace for record in given.records)


def _order(given, emit):
    if emit == "suppress":
        return lambda window: (window[2], key_bytes(window[0]), window[1])
    if given.kind == "session":
        return lambda window: (window[2], window[1], key_bytes(window[0]))
    return lambda window: (window[1], key_bytes(window[0]))
