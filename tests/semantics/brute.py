"""Definitions by brute force, the judge where a difference applies: windows recomputed from all accepted records (D1, D2, D9), stream-stream
joins over all pairs (D3), tables and their joins as views of everything that came before (D5, D7)."""
import brute_joins
import brute_windows


def problems(case, result):
    """What of `result` contradicts the definition; empty for kinds that have no listed difference."""
    kind = case["op"]["kind"]
    if kind == "window_agg":
        return brute_windows.problems(case, result)
    if kind == "stream_stream_join":
        return brute_joins.stream_stream(case, result)
    if kind == "stream_table_join":
        return brute_joins.stream_table(case, result)
    if kind in ("table_table_join", "fk_join"):
        return brute_joins.view(case, result)
    return []
