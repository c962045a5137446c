"""A case as a rivulet configuration with `rivulet replay` input, and replay's output as a result in the oracle's format.

Many cases share one configuration, so that rivulet starts seldom: each has sources and pipelines of its own (their names begin with the
case's number), and its results have a topic of their own. Configurations are written as JSON, which is YAML too.
"""
import json

KINDS = ("filter", "map", "agg", "suppress_time", "window_agg", "table_group_agg", "stream_stream_join", "stream_table_join", "table_table_join", "fk_join")
broken_grace_ms = 0  # a control: with 1 the comparison must fail
EMPTY = {"count": 0, "sum": 0, "collect": []}  # the oracle's word for an aggregate that saw no value; rivulet's is null inside the row (R3)


class Refused(Exception):
    """A parameter that rivulet does not have."""


class Translated:
    """One case: `sources` and `pipelines` of the configuration, `lines` of input. `changes`: the emit of aggregates that do not wait for the end."""

    def __init__(self, case, number, changes="every-change"):
        self.case, self.op, self.name, self.changes = case, case["op"], f"c{number}", changes
        if self.op.get("on_invalid_ts") == "fail" and any(record["ts"] < 0 for record in case["inputs"]):
            raise Refused("on_invalid_ts: a record with a negative timestamp is dropped and counted, never an error")
        kind = self.op["kind"]
        # Rows that have fields of their own (fk, g) go as they are.
        own_fields = {"fk_join": "a", "table_group_agg": "a"}.get(kind, "")
        self.own_fields = own_fields
        self.wrapped = any(isinstance(record["value"], (dict, str)) for record in case["inputs"] if record["stream"] not in own_fields)
        # A bare JSON value is the field `value`. Where values are of several kinds: n is the case's number, x the value itself.
        self.number, self.whole = ("n", "x") if self.wrapped else ("value", "value")
        self.sources = {self.name + side: {"stdin": {}, "decode": "json"} for side in ("ab" if kind.endswith("_join") else "a")}
        self.pipelines = {}
        if kind not in KINDS:
            raise Refused(f"op.kind: there is no '{kind}', expected one of {' '.join(KINDS)}")
        getattr(self, "_" + kind)()
        self.lines = [self._line(record) for record in case["inputs"]]

    def _line(self, record):
        value = record["value"]
        if self.wrapped and value is not None and record["stream"] not in self.own_fields:
            number = value.get("v") if isinstance(value, dict) else value
            plain = isinstance(number, (int, float)) and not isinstance(number, bool)
            value = {"n": number if plain else None, "x": value}
        return json.dumps({"source": self.name + record["stream"], "key": record["key"], "value": value, "ts": record["ts"]}, ensure_ascii=False)

    # How each kind is written; README.md says it for a reader.
    def _pipeline(self, name, source, steps, last=True):
        self.pipelines[self.name + name] = {"from": self.name + source, "steps": steps, **({"to": {"topic": self.name}} if last else {})}

    def _filter(self):
        self._pipeline("main", "a", [{"where": f"CAST({self.number} AS INTEGER) >= {self.op['min']}"}])

    def _map(self):
        self._pipeline("main", "a", [{"set": {"result": f"CAST({self.number} AS INTEGER) * {self.op['mul']}"}}])

    def _aggregate(self, **more):
        function = self.op["agg"]
        what = "*" if function == "count" else self.whole if function in ("first", "last", "collect") else self.number
        return {"aggregate": {"name": "agg", "select": {"r": f"{function}({what})"}, "emit": self.changes, **more}}

    def _agg(self):
        self._pipeline("main", "a", [self._aggregate()])

    def _suppress_time(self):
        self._pipeline("main", "a", [self._aggregate(), {"suppress": {"limit": ms(self.op["limit"])}}])

    def _window_agg(self):
        given = self.op["window"]
        kind = given["type"]
        length = given[{"sliding": "diff", "session": "gap"}.get(kind, "size")]
        size = {"size": ms(length), "advance": ms(given["advance"])} if kind == "hopping" else ms(length)
        emit = "closed" if self.op["emit"] == "close" else self.changes
        steps = [self._aggregate(window={kind: size, "grace": ms(self.op["grace"] + broken_grace_ms)}, emit=emit)]
        self._pipeline("main", "a", steps + ([{"suppress": {"until": "closed"}}] if self.op["emit"] == "suppress" else []))

    def _table_group_agg(self):
        self._pipeline("rows", "a", [{"table": {}}], last=False)
        self.number = "v"
        self._pipeline("main", "rows", [self._aggregate(by="g")])

    def _join(self, **more):
        side = lambda name: name if self.op["kind"] == "fk_join" and name == "left" else f"{name}.{self.whole}"  # noqa: E731
        return {"join": {"with": self.name + "right", "kind": self.op["join"], "select": {"left": side("left"), "right": side("right")}, **more}}

    def _table(self, name, source, versioned):
        self._pipeline(name, source, [{"table": {"history": ms(versioned["history"])} if versioned else {}}], last=False)

    def _stream_stream_join(self):
        self._pipeline("right", "b", [], last=False)
        self._pipeline("main", "a", [self._join(within={"before": ms(self.op["before"]), "after": ms(self.op["after"]), "grace": ms(self.op["grace"] + broken_grace_ms)})])

    def _stream_table_join(self):
        self._table("right", "b", self.op.get("versioned"))
        grace = self.op.get("grace")
        self._pipeline("main", "a", [self._join(**({} if grace is None else {"grace": ms(grace)}))])

    def _table_table_join(self):
        self._table("left", "a", self.op.get("left_versioned"))
        self._table("right", "b", self.op.get("right_versioned"))
        self._pipeline("main", "left", [self._join()])

    def _fk_join(self):
        self._table("left", "a", None)
        self._table("right", "b", None)
        self._pipeline("main", "left", [self._join(on="fk")])

    def result(self, rows, drops):
        """`rows`, `drops`: replay's lines of this case, `after` counted from its own first line."""
        return {"name": self.case["name"], "outputs": [self._output(row) for row in rows], "dropped": sum(drop["n"] for drop in drops), "drops": drops}

    def _output(self, row):
        window = row.get("window")
        value = row["value"]
        bounds = {"window_start": window["start"], "window_end": window["end"]} if window else {}
        if value is not None and window and (value.get("window_start"), value.get("window_end")) != (window["start"], window["end"]):
            bounds["value_says"] = [value.get("window_start"), value.get("window_end")]  # a difference: the row must carry its bounds
        return {"after_input": row["after"], "key": row["key"], **bounds, "value": self._value(value), "ts": row["ts"]}

    def _value(self, value):
        if value is None:
            return None
        if "agg" in self.op:
            return EMPTY.get(self.op["agg"], "EMPTY") if value.get("r") is None else value["r"]
        if self.op["kind"] == "map":
            return value.get("result")
        return value["x"] if self.op["kind"] == "filter" and self.wrapped else value


def ms(value):
    return f"{value}ms"


def configuration(cases):
    merged = {"sources": {}, "pipelines": {}}
    for case in cases:
        merged["sources"].update(case.sources)
        merged["pipelines"].update(case.pipelines)
    return json.dumps(merged, ensure_ascii=False, indent=1)
