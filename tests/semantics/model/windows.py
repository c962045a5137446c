"""Windowed aggregates: tumbling and hopping here; sliding and session in modules of their own. All emit on update, on close, or suppressed.

A kind gives `updates(index, record)`: the revisions of this record and how often it was late, and `finals()`: the windows that stream
time has just made final, each once. What is emitted of them, and in which order, is the same for all kinds and stands here.
"""
from .sessions import KafkaSessions, Sessions
from .sliding import KafkaSliding, Sliding
from .values import aggregate, key_bytes


class Fixed:
    """R5-R7. Every window is [start, end); state is [items, ts]."""

    def __init__(self, op, kafka):
        window = op["window"]
        self.size, self.advance = window["size"], window.get("advance", window["size"])
        self.grace, self.function = op["grace"], op["agg"]
        self.time = -1
        self.windows = {}  # (start, key): [items, ts]

    def passes(self, record):
        return record["key"] is not None  # R2, R3

    def updates(self, index, record):
        ts, key, updates, late = record["ts"], record["key"], [], 0
        self.time = max(self.time, ts)
        for start in range(max(0, ts - self.size + self.advance) // self.advance * self.advance, ts + 1, self.advance):
            if start + self.size <= self.time - self.grace:  # R6, R4
                late += 1
                continue
            window = self.windows.setdefault((start, key), [[], ts])
            window[0].append((index, record["value"]))
            window[1] = max(window[1], ts)
            updates.append(self.row(start, key))
        return updates, late

    def row(self, start, key):
        items, ts = self.windows[start, key]
        return key, (start, start + self.size), aggregate(self.function, items), ts

    def finals(self):
        done = [(start, key) for start, key in self.windows if self.time >= start + self.size + self.grace]
        rows = [self.row(*window) for window in done]
        for window in done:
            del self.windows[window]
        return rows

    def closed_order(self, row):
        return row[1][0], key_bytes(row[0])


def suppress_order(row):  # R7, for every kind
    return row[1][1], key_bytes(row[0]), row[1][0]


class Emitting:
    """What leaves the step: every update, or what became final (D2)."""

    def __init__(self, kind, emit):
        self.kind, self.emit = kind, emit

    def step(self, index, record):
        if not self.kind.passes(record):
            return [], 1
        updates, late = self.kind.updates(index, record)
        finals = self.kind.finals()  # in every emit mode: a final window is gone
        if self.emit == "update":
            return updates, late
        return sorted(finals, key=self.kind.closed_order if self.emit == "close" else suppress_order), late


class KafkaSuppress:
    """Kafka Streams' own way: it sees only the updates, and a window that it gave away comes back with the next one (D2)."""

    def __init__(self, kind, wait):
        self.kind, self.wait = kind, wait
        self.time = -1
        self.held = {}

    def step(self, index, record):
        if not self.kind.passes(record):
            return [], 1
        emitted = []
        updates, late = self.kind.updates(index, record)
        for row in updates:
            self.time = max(self.time, row[3])
            self.held[suppress_order(row)] = row
            while self.held and min(self.held)[0] <= self.time - self.wait:
                first = self.held.pop(min(self.held))
                if first[2] is not None:
                    emitted.append(first)
        return emitted, late


def make(op, kafka):
    kind = op["window"]["type"]
    classes = {"sliding": (Sliding, KafkaSliding), "session": (Sessions, KafkaSessions)}.get(kind, (Fixed, Fixed))
    windows = classes[kafka](op, kafka)
    if kafka and op["emit"] == "suppress":
        return KafkaSuppress(windows, op["grace"] + (op["window"]["gap"] if kind == "session" else 0))
    return Emitting(windows, op["emit"])
