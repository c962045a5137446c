"""Sliding windows: [t-d, t] and [t+1, t+1+d], both ends inclusive."""
from .values import aggregate, key_bytes


class Sliding:
    """R8-R10 as D4, D6 and D9 have them."""

    def __init__(self, op, kafka):
        self.span, self.grace, self.function = op["window"]["diff"], op["grace"], op["agg"]
        self.time = -1
        self.remembered = {}  # key: [(ts, index, value)]
        self.windows = {}  # key: {start: [items, ts]}, the open ones and those that were

    def passes(self, record):
        return record["key"] is not None and record["value"] is not None  # R3

    def open(self, start):
        return start + self.span >= self.time - self.grace

    def updates(self, index, record):
        ts, key = record["ts"], record["key"]
        self.time = max(self.time, ts)
        remembered, windows = self.remembered.setdefault(key, []), self.windows.setdefault(key, {})
        if not self.open(ts):  # even the window that starts with it is closed
            return [], 1
        own, right = max(0, ts - self.span), ts + 1
        late = not self.open(own)
        previous = max((other for other, _, _ in remembered if other < ts), default=None)
        containing = [start for start in windows if start <= ts <= start + self.span]
        order = sorted(containing, reverse=True) if ts >= self.span else sorted(start for start in containing if start > 0)  # R9
        made = [] if previous is None or previous + 1 + self.span < ts else [previous + 1]
        if ts >= self.span:
            order += made + [own]
        taken = [start for start in dict.fromkeys(order if ts >= self.span else order + made + [own]) if self.open(start)]
        if taken:
            remembered.append((ts, index, record["value"]))
        for start in taken:
            if start in windows:
                self.put(windows, start, [(ts, index, record["value"])])
            else:
                self.put(windows, start, remembered)
        emitted = [self.row(key, start) for start in taken]
        if right not in windows and any(right <= other <= right + self.span for other, _, _ in remembered) and self.open(right):
            self.put(windows, right, remembered)
            row = self.row(key, right)
            if ts >= self.span:
                emitted.append(row)
            else:  # after the existing ones, before the previous record's right window and the shared one
                emitted.insert(len([start for start in taken if start in order]), row)
        return emitted, int(late)

    def put(self, windows, start, records):
        window = windows.setdefault(start, [[], -1])
        for ts, index, value in records:
            if start <= ts <= start + self.span:
                window[0].append((index, value))
                window[1] = max(window[1], ts)

    def row(self, key, start):
        items, ts = self.windows[key][start]
        return key, (start, start + self.span), aggregate(self.function, items), ts

    def finals(self):
        done = [(key, start) for key, windows in self.windows.items() for start in windows if self.time > start + self.span + self.grace]
        rows = [self.row(*window) for window in done]
        for key, start in done:
            del self.windows[key][start]
        for key, records in self.remembered.items():  # D1
            self.remembered[key] = [one for one in records if self.time <= one[0] + self.span + 1 + self.grace]
        return rows

    def closed_order(self, row):
        return row[1][0], key_bytes(row[0])


class KafkaSliding:
    """Kafka Streams' own way: only windows are kept; what a new one holds is taken from its neighbours'."""

    def __init__(self, op, kafka):
        self.span, self.grace, self.function = op["window"]["diff"], op["grace"], op["agg"]
        self.time = -1
        self.windows = {}  # key: {start: (items, ts)}
        self.closed_to = None  # what was emitted: every window that ends before this

    def passes(self, record):
        return record["key"] is not None and record["value"] is not None

    def updates(self, index, record):
        ts, key = record["ts"], record["key"]
        self.time = max(self.time, ts)
        self.limit = self.time - self.grace
        self.emitted, self.late = [], 0
        self.item = (index, record["value"])
        if ts + self.span < self.limit:
            return [], 1
        windows = self.windows.setdefault(key, {})
        (self.early if ts < self.span else self.reverse)(key, ts, windows)
        return self.emitted, self.late

    def update(self, key, start, items, before, ts):
        """`before`: the window's ts, or None for one that has no value yet."""
        if start + self.span < self.limit:
            self.late += 1
            return
        newest = ts if before is None else max(ts, before)
        self.windows[key][start] = (items + [self.item], newest)
        self.emitted.append((key, (start, start + self.span), aggregate(self.function, items + [self.item]), newest))

    def copy(self, key, start, window):
        self.windows[key][start] = window
        self.emitted.append((key, (start, start + self.span), aggregate(self.function, window[0]), window[1]))

    def reverse(self, key, ts, windows):
        left = right = previous = None
        left_made = right_made = False
        starts = set()
        for start in sorted((start for start in windows if max(0, ts - 2 * self.span) <= start <= ts + 1), reverse=True):
            starts.add(start)
            items, newest = windows[start]
            if start == ts + 1:
                right_made = True
            elif start + self.span > ts:
                right = right or windows[start]
                self.update(key, start, items, newest, ts)
            elif start + self.span == ts:
                left_made = True
                self.update(key, start, items, newest, ts)
                if newest >= ts:
                    return
                previous = newest
            else:
                left, previous = windows[start], newest
                break
        if previous is not None and previous + 1 not in starts and previous + 1 + self.span >= ts:
            self.update(key, previous + 1, [], None, ts)
        if not left_made:
            kept = left[0] if previous is not None and ts - self.span <= previous else []
            self.update(key, ts - self.span, kept, ts if kept else None, ts)
        if not right_made and right is not None and right[1] > ts:
            self.copy(key, ts + 1, right)

    def early(self, key, ts, windows):
        shared = right = previous = None
        right_made = False
        starts = set()
        for start in sorted(start for start in windows if start <= ts + 1):
            starts.add(start)
            items, newest = windows[start]
            if start == 0:
                shared = windows[0]
                previous = newest if newest < ts else None
            elif start <= ts:
                right = windows[start]
                self.update(key, start, items, newest, ts)
            else:
                right_made = True
        if right is None and shared is not None and shared[1] > ts:
            right = shared
        if not right_made and right is not None and right[1] > ts:
            self.copy(key, ts + 1, right)
        if previous is not None and previous + 1 not in starts:
            self.update(key, previous + 1, [], None, ts)
        self.update(key, 0, shared[0] if shared else [], shared[1] if shared else None, ts)

    def finals(self):
        """Each range of window ends once, as stream time passes it."""
        limit, self.closed_to = self.closed_to, max(self.time - self.grace, self.closed_to or 0)
        return [(key, (start, start + self.span), aggregate(self.function, items), ts) for key, windows in self.windows.items()
                for start, (items, ts) in windows.items() if start + self.span < self.closed_to and (limit is None or start + self.span >= limit)]

    def closed_order(self, row):
        return row[1][0], key_bytes(row[0])
