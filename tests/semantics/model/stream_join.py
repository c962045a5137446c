"""The stream-stream join: D3, and Kafka Streams' own way."""
from .values import key_bytes, pair


class StreamStream:
    def __init__(self, op, kafka):
        self.before, self.after, self.grace = op["before"], op["after"], op["grace"]
        self.pads = {"inner": "", "left": "a", "outer": "ab"}[op["join"]]
        self.time = -1
        self.kept = {"a": [], "b": []}

    def open(self, side, ts):
        return ts + max(self.after if side == "a" else self.before, 0) + self.grace >= self.time

    def step(self, index, record):
        side, ts, key, value = record["stream"], record["ts"], record["key"], record["value"]
        self.time = max(self.time, ts)
        emitted = self.due()
        if value is None:
            return emitted, 1
        if key is None:
            return (emitted + [padded(side, key, value, ts)], 0) if side in self.pads else (emitted, 1)
        low, high = (ts - self.before, ts + self.after) if side == "a" else (ts - self.after, ts + self.before)  # R14
        others = [one for one in self.kept["b" if side == "a" else "a"] if one["key"] == key and low <= one["ts"] <= high]
        for one in sorted(others, key=lambda one: (one["ts"], one["index"])):
            one["matched"] = True
            both = (value, one["value"]) if side == "a" else (one["value"], value)
            emitted.append((key, None, pair(*both), max(ts, one["ts"])))
        if not self.open(side, ts):
            return emitted, 0 if others else 1
        self.kept[side].append({"key": key, "ts": ts, "value": value, "index": index, "matched": bool(others)})
        return emitted, 0

    def due(self):
        """Pads of what is no longer open, and nothing of it is kept."""
        pads = []
        for side, records in self.kept.items():
            pads += [(one["ts"], side == "a", key_bytes(one["key"]), one["index"], padded(side, one["key"], one["value"], one["ts"]))
                     for one in records if side in self.pads and not one["matched"] and not self.open(side, one["ts"])]
            self.kept[side] = [one for one in records if self.open(side, one["ts"])]
        return [pad[-1] for pad in sorted(pads, key=lambda pad: pad[:4])]  # R15


def padded(side, key, value, ts):
    return key, None, pair(value, None) if side == "a" else pair(None, value), ts


class KafkaStreamStream:
    """Pads only at a record that is as new as stream time, after a look at the oldest pending one with the bound of the trigger's side;
    what is out of order is padded at once; stores expire by their own time and retention, puts by segments of a minute at least (RocksDB's; stores in memory differ in both)."""

    def __init__(self, op, kafka):
        self.before, self.after, self.grace = op["before"], op["after"], op["grace"]
        self.pads = {"inner": "", "left": "a", "outer": "ab"}[op["join"]]
        self.retention = self.before + self.after + self.grace
        self.segment = max(self.retention // 2, 60_000)
        self.time = -1
        self.oldest = 2 ** 63
        self.stored = {"a": [], "b": []}
        self.newest = {"a": -1, "b": -1}
        self.pending = {}  # (ts, left last, key bytes): [(side, key, value)]

    def step(self, index, record):
        side, ts, key, value = record["stream"], record["ts"], record["key"], record["value"]
        other = "b" if side == "a" else "a"
        before, after = (self.before, self.after) if side == "a" else (self.after, self.before)
        self.time = max(self.time, ts)
        if key is None and value is not None and side in self.pads:
            return [padded(side, key, value, ts)], 0
        if key is None or value is None:
            return [], 1
        emitted, dropped = [], 0
        if self.pads and ts == self.time:
            emitted += self.due(after)
        low, high = max(0, ts - before, self.newest[other] - self.retention + 1), max(0, ts + after)
        found = sorted((one for one in self.stored[other] if one[2] == key and low <= one[0] <= high), key=lambda one: one[:2])
        for at, _, _, theirs in found:
            self.pending.pop((at, other == "a", key_bytes(key)), None)
            emitted.append((key, None, pair(value, theirs) if side == "a" else pair(theirs, value), max(ts, at)))
        if side in self.pads and not found:
            if high < self.time:
                emitted.append(padded(side, key, value, ts))
            else:
                self.oldest = min(self.oldest, ts)
                self.pending.setdefault((ts, side == "a", key_bytes(key)), []).append((side, key, value))
        self.newest[side] = max(self.newest[side], ts)
        if ts // self.segment < (self.newest[side] - self.retention) // self.segment:
            dropped = 1
        else:
            self.stored[side].append((ts, index, key, value))
        return emitted, dropped

    def due(self, after):
        if self.oldest + after + self.grace >= self.time:
            return []
        emitted, self.oldest, waiting = [], 2 ** 63, set()
        for at, one in [(at, one) for at in sorted(self.pending) for one in self.pending[at]]:
            self.oldest = at[0]  # that of the record that ends the search: an older one may be waiting
            if len(waiting) == 2:
                break
            if at[0] + (self.after if at[1] else self.before) + self.grace >= self.time:
                waiting.add(at[1])
                continue
            self.pending.pop(at, None)
            emitted.append(padded(*one, at[0]))
        return emitted


def make(op, kafka):
    return (KafkaStreamStream if kafka else StreamStream)(op, kafka)
