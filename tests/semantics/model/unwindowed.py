"""Steps without windows: filter, map, aggregates by key, and suppress until a time limit."""
from .values import aggregate, key_bytes, number


class Filter:
    def __init__(self, op, kafka):
        self.min = op["min"]

    def step(self, index, record):
        found = number(record["value"])
        keep = found is not None and int(found) >= self.min
        return ([(record["key"], None, record["value"], record["ts"])] if keep else []), 0


class Map:
    def __init__(self, op, kafka):
        self.factor = op["mul"]

    def step(self, index, record):
        found = number(record["value"])
        return [(record["key"], None, None if found is None else int(found) * self.factor, record["ts"])], 0


class Aggregate:
    def __init__(self, op, kafka):
        self.function = op["agg"]
        self.rows = {}  # key: [items, ts]

    def step(self, index, record):
        key = record["key"]
        if key is None or record["value"] is None:  # R2, R3
            return [], 1
        row = self.rows.setdefault(key, [[], record["ts"]])
        row[0].append((index, record["value"]))
        row[1] = max(row[1], record["ts"])  # R13
        return [(key, None, aggregate(self.function, row[0]), row[1])], 0


class SuppressTime:  # R13
    def __init__(self, op, kafka):
        self.limit = op["limit"]
        self.updates = Aggregate(op, kafka)
        self.time = -1
        self.held = {}  # key: [first ts, latest output]

    def step(self, index, record):
        updates, dropped = self.updates.step(index, record)
        emitted = []
        for update in updates:
            key, ts = update[0], update[3]
            self.time = max(self.time, ts)
            self.held.setdefault(key, [ts, None])[1] = update
            due = sorted((first, key_bytes(k), k) for k, (first, _) in self.held.items() if self.time >= first + self.limit)
            emitted += [self.held.pop(k)[1] for _, _, k in due]
        return emitted, dropped
