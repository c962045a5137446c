"""Tables: plain and versioned, joined by key, by foreign key, and grouped."""
from .values import key_bytes, number, pair


class Table:
    """The rows of one stream: the last by order of arrival, or with `history` the versions by time. None: no row."""

    def __init__(self, versioned, kafka):
        self.history = versioned["history"] if versioned else None
        self.kafka = kafka
        self.rows = {}  # key: (value, ts), or {ts: value} when versioned
        self.time = -1  # over all keys

    def put(self, key, value, ts):
        """(old value, is it the latest), or None for a record older than history."""
        if self.history is None:
            old = self.get(key)
            self.rows[key] = (value, ts)
            return (old[0] if old else None), True
        if ts < self.time - self.history:  # R17
            return None
        self.time = max(self.time, ts)
        old, versions = self.get(key), self.rows.setdefault(key, {})
        latest = ts >= max(versions, default=ts)
        if self.kafka and value is None and versions.get(ts) is not None and len(versions) == 1:  # D5
            versions.clear()
        else:
            versions[ts] = value
        return (old[0] if old else None), latest

    def get(self, key):
        """The current (value, ts)."""
        if key not in self.rows:
            return None
        row = self.rows[key]
        if self.history is not None:
            if not row:
                return None
            row = (row[max(row)], max(row))
        return None if row[0] is None else row

    def as_of(self, key, ts):  # R17
        if self.history is None:
            return self.get(key)
        versions = self.rows.get(key) or {}
        if not versions:
            return None
        if max(versions) > ts and ts < self.time - self.history:
            return None
        found = max((at for at in versions if at <= ts), default=None)
        return None if found is None or versions[found] is None else (versions[found], found)


class Tombstones:
    """A tombstone is emitted iff the last output of its key is a row (D7); Kafka Streams does not look."""

    def __init__(self, kafka):
        self.kafka = kafka
        self.rows = set()

    def __call__(self, outputs):
        kept = []
        for output in outputs:
            if output[2] is None and output[0] not in self.rows and not self.kafka:
                continue
            (self.rows.discard if output[2] is None else self.rows.add)(output[0])
            kept.append(output)
        return kept


class TableTable:  # R19
    def __init__(self, op, kafka):
        self.tables = {"a": Table(op.get("left_versioned"), kafka), "b": Table(op.get("right_versioned"), kafka)}
        self.pads = {"inner": "", "left": "a", "outer": "ab"}[op["join"]]
        self.emit = Tombstones(kafka)

    def step(self, index, record):
        side, key, value = record["stream"], record["key"], record["value"]
        if key is None:
            return [], 1
        put = self.tables[side].put(key, value, record["ts"])
        if put is None or not put[1]:
            return [], 1
        other_side = "b" if side == "a" else "a"
        other = self.tables[other_side].get(key)
        ts = max(record["ts"], other[1]) if other else record["ts"]
        theirs = other[0] if other else None
        if other is None and (side not in self.pads or (value is None and put[0] is None)):
            return [], 0
        joined = (value is not None or (theirs is not None and other_side in self.pads)) and (theirs is not None or side in self.pads)
        result = None if not joined else pair(value, theirs) if side == "a" else pair(theirs, value)
        return self.emit([(key, None, result, ts)]), 0


class ForeignKey:
    """R20. `made`: what made a key's last result on the other side, for a tombstone's timestamp (D7)."""

    def __init__(self, op, kafka):
        self.left, self.right = Table(None, kafka), Table(None, kafka)
        self.pads, self.kafka = op["join"] == "left", kafka
        self.emit = Tombstones(kafka)

    def step(self, index, record):
        key, value, ts = record["key"], record["value"], record["ts"]
        if key is None:
            return [], 1
        if record["stream"] == "b":
            self.right.put(key, value, ts)
            return self.emit([self.result(left, row, row[0], value, ts if self.kafka else max(ts, row[1])) for left, row in self.lefts(key)]), 0
        old, _ = self.left.put(key, value, ts)
        return self.from_left(key, old, value, ts)

    def lefts(self, foreign):
        found = [(key, self.left.get(key)) for key in self.left.rows]
        return sorted(((key, row) for key, row in found if row and foreign_key(row[0]) == foreign), key=lambda one: key_bytes(one[0]))

    def result(self, key, row, value, theirs, ts):
        return key, None, pair(value, theirs) if theirs is not None or self.pads else None, ts

    def from_left(self, key, old, value, ts):
        was, now = foreign_key(old), foreign_key(value)
        made_it = self.right.get(was) if was is not None else None
        match = self.right.get(now) if now is not None else None
        dropped = int(not self.pads and value is not None and now is None)
        if match or (value is not None and self.pads):
            return self.emit([(key, None, pair(value, match[0] if match else None), max(ts, match[1]) if match else ts)]), dropped
        if old is None or (was is None and not self.pads):  # nothing was there to remove
            return [], dropped
        if self.kafka and value is not None and was == now:
            return [], dropped
        plain = self.kafka and (self.pads or now is not None)  # looked up by the new foreign key, which has no row
        return self.emit([(key, None, None, max(ts, made_it[1]) if made_it and not plain else ts)]), dropped


def foreign_key(value):
    found = value.get("fk") if isinstance(value, dict) else None
    return None if found is None else found if isinstance(found, str) else str(found)


class Groups:
    """R13: a table grouped by its rows' field g."""

    def __init__(self, op, kafka):
        self.table, self.counts = Table(None, kafka), op["agg"] == "count"
        self.groups = {}  # group: [value, ts]

    def step(self, index, record):
        key, value, ts = record["key"], record["value"], record["ts"]
        if key is None:
            return [], 1
        old, _ = self.table.put(key, value, ts)
        was, now = group_of(old), group_of(value)
        changes = [(was, old, value)] if was == now else [(was, old, None), (now, None, value)]
        emitted = []
        for group, leaving, coming in changes:
            if group is None:
                continue
            row = self.groups.setdefault(group, [0, ts])
            row[0] += self.worth(coming) - self.worth(leaving)
            row[1] = max(row[1], ts)
            emitted.append((group, None, row[0], row[1]))
        return emitted, 0

    def worth(self, value):
        return 0 if value is None else 1 if self.counts else number(value) or 0


def group_of(value):
    found = value.get("g") if isinstance(value, dict) else None
    return None if found is None else found if isinstance(found, str) else str(found)
