"""The stream-table join: the table's row now, or as of the stream record's time, at once or after a grace period (R16-R18)."""
from .tables import Table
from .values import key_bytes, pair


class StreamTable:
    def __init__(self, op, kafka):
        self.table = Table(op.get("versioned"), kafka)
        self.pads, self.grace = op["join"] == "left", op.get("grace")
        self.time = None  # the highest ts that was buffered
        self.held = []  # (ts, key bytes, arrival, record)

    def step(self, index, record):
        key, value, ts = record["key"], record["value"], record["ts"]
        if record["stream"] == "b":
            if key is None or self.table.put(key, value, ts) is None:
                return [], 1
            return [], 0
        if value is None or (key is None and not self.pads):
            return [], 1
        if key is None or self.grace is None or (self.time is not None and ts < self.time - self.grace):
            return self.joined(record), 0  # with a null key at once, and the buffer's clock stands (D4)
        self.time = ts if self.time is None else max(self.time, ts)
        self.held.append((ts, key_bytes(key), index, record))
        due = sorted((one for one in self.held if one[0] <= self.time - self.grace), key=lambda one: one[:3])
        self.held = [one for one in self.held if one[0] > self.time - self.grace]
        return [output for one in due for output in self.joined(one[3])], 0

    def joined(self, record):
        row = None if record["key"] is None else self.table.as_of(record["key"], record["ts"])
        if row is None and not self.pads:
            return []
        return [(record["key"], None, pair(record["value"], row[0] if row else None), record["ts"])]
