"""Stream semantics as an executable model: what rivulet must give, and, with its differences switched off (`kafka=True`), what Kafka Streams gives.

It is written from the specification's text and knows nothing of rivulet. A rule's number stands where the rule is applied: R9 is rule 9
of the specification, D9 its ninth difference. See the README for how it is itself checked.
"""
from . import joins, stream_join, tables, unwindowed, windows

KINDS = {
    "filter": unwindowed.Filter,
    "map": unwindowed.Map,
    "agg": unwindowed.Aggregate,
    "suppress_time": unwindowed.SuppressTime,
    "window_agg": windows.make,
    "stream_stream_join": stream_join.make,
    "stream_table_join": joins.StreamTable,
    "table_table_join": tables.TableTable,
    "fk_join": tables.ForeignKey,
    "table_group_agg": tables.Groups,
}


def run(case, kafka=False):
    """The result of a case in the oracle's format."""
    operator = KINDS[case["op"]["kind"]](case["op"], kafka)
    outputs, drops = [], []
    for index, record in enumerate(case["inputs"]):
        if record["ts"] < 0:  # R1
            emitted, dropped = [], 1
        else:
            emitted, dropped = operator.step(index, record)
        outputs += [_output(index, *one) for one in emitted]
        if dropped:
            drops.append({"after_input": index, "n": dropped})
    return {"name": case["name"], "outputs": outputs, "dropped": sum(drop["n"] for drop in drops), "drops": drops}


def _output(index, key, window, value, ts):
    bounds = {"window_start": window[0], "window_end": window[1]} if window else {}
    return {"after_input": index, "key": key, **bounds, "value": value, "ts": ts}
