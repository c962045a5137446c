"""What the pipelines of stateful_input.py must give, computed from the input alone by a program that shares nothing with rivulet: windows from
the records that they accept, joins over all pairs; sessions and versioned tables by tests/semantics/model.

A row is (key, value, timestamp, window); window is (start, end) or None, value None a tombstone.
"""
import bisect
import heapq
import itertools
import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "semantics"))
from model.joins import StreamTable  # noqa: E402
from model.windows import make as make_windows  # noqa: E402
from stateful_input import ACROSS, ASOF, AVERAGES, BOTH, HOPS, JOIN, SESSIONS, TCP  # noqa: E402


def windows(records, size, grace, advance=0):
    """(index, kind, window, records in it) as it happens; kind is "change", "final" or "late"."""
    advance = advance or size
    time, by_start, starts = -1, {}, []
    for index, one in enumerate(records):
        if one["k"] is None:
            continue
        time = max(time, one["ts"])
        late = False
        for start in range(max(0, one["ts"] - size + advance) // advance * advance, one["ts"] + 1, advance):
            if start + size <= time - grace:
                late = True
                continue
            if start not in by_start:
                by_start[start] = {}
                heapq.heappush(starts, start)
            inside = by_start[start].setdefault(one["k"], [])
            inside.append(one)
            yield index, "change", (start, start + size), list(inside)
        if late:
            yield index, "late", None, [one]
        while starts and time >= starts[0] + size + grace:
            start = heapq.heappop(starts)
            final = by_start.pop(start)
            for key in sorted(final, key=str.encode):
                yield index, "final", (start, start + size), final[key]


def mean(records):
    return sum(one["v"] for one in records) / len(records)


def row(window, records, **fields):
    return records[-1]["k"], {**fields, "window_start": window[0], "window_end": window[1]}, max(one["ts"] for one in records), window


def with_ends(inside):
    return {"mean": mean(inside), "n": len(inside), "first": inside[0]["n"], "last": inside[-1]["n"]}


def average(window, inside):
    return row(window, inside, **with_ends(inside))


def as_it_came(one):
    return one["k"], one, one["ts"], None


def revisions(rows):
    """{(key, window): every row it ever is}."""
    found = {}
    for one in rows:
        found.setdefault((one[0], one[3]), []).append(one)
    return found


def join(records, side_of, before, after, grace, pads, value):
    """Streams joined by definition: (rows in order, records that were late). `side_of`: "l", "r" or None."""
    span = {"l": max(after, 0), "r": max(before, 0)}
    mine = [dict(one, side=side_of(one), index=index) for index, one in enumerate(records) if side_of(one)]
    times = list(itertools.accumulate((one["ts"] for one in mine), max))
    seen = {"l": {}, "r": {}}
    matched, matches, late = set(), {}, []
    for at, (one, time) in enumerate(zip(mine, times)):
        one["closes"], one["at"] = one["ts"] + span[one["side"]] + grace, at
        if one["k"] is None:
            continue
        low, high = (one["ts"] - before, one["ts"] + after) if one["side"] == "l" else (one["ts"] - after, one["ts"] + before)
        others = seen["r" if one["side"] == "l" else "l"].get(one["k"], [])
        found = [mine[other] for _, other in others[bisect.bisect_left(others, (low, -1)):bisect.bisect_right(others, (high, len(mine)))] if mine[other]["closes"] >= time]
        matches[at] = found
        matched.update(other["at"] for other in found)
        if found:
            matched.add(at)
        if one["closes"] >= time:
            bisect.insort(seen[one["side"]].setdefault(one["k"], []), (one["ts"], at))
        elif not found:
            late.append(one["index"])
    due = {}
    for one in mine:
        if one["k"] is not None and one["side"] in pads and one["at"] not in matched and one["closes"] >= times[one["at"]]:
            due.setdefault(bisect.bisect_right(times, one["closes"]), []).append(one)
    rows = []
    for at, one in enumerate(mine):
        for pad in sorted(due.get(at, []), key=lambda pad: (pad["ts"], pad["side"] == "l", pad["k"].encode(), pad["at"])):
            rows.append((pad["k"], value(pad, None), pad["ts"], None))
        if one["k"] is None and one["side"] in pads:
            rows.append((None, value(one, None), one["ts"], None))
        rows += [(one["k"], value(one, other), max(one["ts"], other["ts"]), None) for other in matches.get(at, [])]
    return rows, [records[index] for index in late]


def numbers(one, other):
    both = {one["side"]: one["n"]}
    if other:
        both[other["side"]] = other["n"]
    return {"l": both.get("l"), "r": both.get("r")}


def sessions(records):
    kind = make_windows({"window": {"type": "session", "gap": SESSIONS["gap"]}, "grace": SESSIONS["grace"], "agg": "collect", "emit": "update"}, False)
    for index, one in enumerate(records):
        if one["k"] is None:
            continue
        for key, window, values, ts in kind.step(index, {"key": one["k"], "value": one["v"], "ts": one["ts"]})[0]:
            yield key, values and {"n": len(values), "s": sum(values), "window_start": window[0], "window_end": window[1]}, ts, window


def asof(records):
    table = StreamTable({"versioned": {"history": ASOF["history"]}, "join": "left", "grace": ASOF["grace"]}, False)
    for index, one in enumerate(records):
        stream = {"m": "a", "t": "b"}.get(one["side"])
        if stream is None:
            continue
        for key, _, value, ts in table.step(index, {"stream": stream, "key": one["k"], "value": one, "ts": one["ts"]})[0]:
            yield key, {"n": value["left"]["n"], "w": value["right"] and value["right"]["v"]}, ts, None


def groups(records):
    rows, worth = {}, {}
    for one in records:
        if one["side"] != "t" or one["k"] is None:
            continue
        old, rows[one["k"]] = rows.get(one["k"]), one
        for group in dict.fromkeys(([old["g"]] if old else []) + [one["g"]]):
            inside = [other["v"] for other in rows.values() if other["g"] == group]
            worth[group] = max(worth.get(group, 0), one["ts"])
            yield group, {"n": len(inside), "s": sum(inside) if inside else None}, worth[group], None


def named(records):
    """Each final average with the row that the table has when it becomes final."""
    finals = {}
    for index, kind, window, inside in windows([dict(one, k=None) if one["side"] == "t" else one for one in records], **AVERAGES):
        if kind == "final":
            finals.setdefault(index, []).append(average(window, inside))
    sites = {}
    for index, one in enumerate(records):
        if one["side"] == "t" and one["k"] is not None:
            sites[one["k"]] = one["v"]
        for key, value, ts, window in finals.get(index, []):
            yield key, {"mean": value["mean"], "n": value["n"], "w": sites.get(key)}, ts, window


def totals(records):
    sums = {}
    for one in records:
        if one["k"] is not None:
            n, s, ts = sums.get(one["k"], (0, 0, 0))
            sums[one["k"]] = n + 1, s + one["v"], max(ts, one["ts"])
            yield one["k"], {"n": n + 1, "s": s + one["v"]}, sums[one["k"]][2], None


def expected(given):
    """By topic: ("ordered", rows): these, in this order for each key; ("any order", rows); ("last", {(key, window): revisions})."""
    file, tcp = given.records("file"), given.records("tcp")
    measured = [one for one in file if one["side"] != "t"]
    happened = list(windows(measured, **AVERAGES))
    joined, joined_late = join(file, lambda one: one["side"] if one["side"] in ("l", "r") else None, **JOIN, pads="lr", value=numbers)
    # Ample grace: whatever comes first, the same pairs and windows. What closes them comes when everything else is in.
    mixed = [dict(one, side="l") for one in file if one["side"] == "m"] + [dict(one, side="r") for one in tcp]
    across, none_late = join(sorted(mixed, key=lambda one: one["ts"]), lambda one: one["side"], **ACROSS, pads="", value=numbers)
    assert not none_late
    lefts = sorted([one for one in file if one["side"] == "l"] + tcp, key=lambda one: one["ts"])
    return {
        "t-averages": ("ordered", [average(window, inside) for _, kind, window, inside in happened if kind == "final"]),
        "t-late": ("ordered", [as_it_came(inside[0]) for _, kind, _, inside in happened if kind == "late"]),
        "t-named": ("ordered", list(named(file))),
        "t-updates": ("last", revisions(row(window, inside, mean=mean(inside), n=len(inside)) for _, kind, window, inside in windows(file, **AVERAGES) if kind == "change")),
        "t-hops": ("ordered", [row(window, inside, n=len(inside), s=sum(one["v"] for one in inside), low=min(one["v"] for one in inside))
                               for _, kind, window, inside in windows(file, **HOPS) if kind == "change"]),
        "t-sessions": ("ordered", list(sessions(file))),
        "t-joined": ("ordered", joined),
        "t-joined-late": ("ordered", [as_it_came(one) for one in joined_late]),
        "t-asof": ("ordered", list(asof(file))),
        "t-groups": ("ordered", list(groups(file))),
        "t-totals": ("last", revisions(totals(tcp))),
        "t-tcp": ("ordered", [average(window, inside) for _, kind, window, inside in windows(tcp, **TCP) if kind == "final"]),
        "t-across": ("any order", across),
        "t-both": ("ordered", [row(window, inside, mean=mean(inside), n=len(inside), high=max(one["v"] for one in inside))
                               for _, kind, window, inside in windows(lefts, **BOTH) if kind == "final"]),
    }
