"""Session windows: records at most `gap` apart, both ends inclusive (R11, R12)."""
from .values import aggregate, key_bytes


class Sessions:
    def __init__(self, op, kafka):
        self.gap, self.grace, self.function = op["window"]["gap"], op["grace"], op["agg"]
        self.time = -1
        self.sessions = {}  # key: {(start, end): items}

    def passes(self, record):
        return record["key"] is not None

    def live(self, end):  # D2: a final session takes no part in merging
        return end + self.gap + self.grace >= self.time

    def updates(self, index, record):
        ts, key = record["ts"], record["key"]
        self.time = max(self.time, ts)
        sessions = self.sessions.setdefault(key, {})
        absorbed = sorted((session for session in sessions if session[0] <= ts + self.gap and session[1] >= ts - self.gap and self.live(session[1])),
                          key=lambda session: (session[1], session[0]))
        merged = (min([ts] + [start for start, _ in absorbed]), max([ts] + [end for _, end in absorbed]))
        if merged[1] < self.time - self.grace - self.gap:
            return [], 1
        items = [(index, record["value"])]
        for session in absorbed:
            items += sessions.pop(session)
        sessions[merged] = items
        updates = [] if merged == (ts, ts) else [(key, session, None, session[1]) for session in absorbed]
        return updates + [(key, merged, aggregate(self.function, items), merged[1])], 0

    def finals(self):
        done = [(key, session) for key, sessions in self.sessions.items() for session in sessions if not self.live(session[1])]
        return [(key, session, aggregate(self.function, self.sessions[key].pop(session)), session[1]) for key, session in done]

    def closed_order(self, row):
        return row[1][1], row[1][0], key_bytes(row[0])


class KafkaSessions(Sessions):
    """Kafka Streams' own way: a session that it emitted as final is still there, grows, and is emitted again."""
    closed_to = None

    def live(self, end):
        return True

    def finals(self):
        limit = self.time - self.gap - self.grace
        if limit <= 0 or (self.closed_to is not None and self.closed_to >= limit):
            return []
        before, self.closed_to = self.closed_to or 0, limit
        return [(key, session, aggregate(self.function, items), session[1]) for key, sessions in self.sessions.items()
                for session, items in sessions.items() if before <= session[1] < limit]
