// The `absence` step: a result when a key falls silent, another when it comes back; the records themselves end here.
//
// A key is absent once the stream time is `after` past its last record: {"absent":true,"last":ms} at last + after. Its next record that is
// not as old as that itself gives {"absent":false,"last":ms} at its own time (last: before the silence). With the stream's time one key's
// records show that others are silent; with time.idle the wall clock does, too. Out-of-order records count by their own time. A null value ends the
// watch over its key without a word; a null key is dropped.
// Kept: a row a key with the time of its last record, and one a key under the time at which to look at it next, moved on at most once
// in `after`. Thread: io. Lifetime: the Topology's.
#pragma once
#include "agent/pipeline/stateful/operator.h"

namespace rivulet::pipeline {

std::unique_ptr<Operator> make_absence(const OperatorParts& parts);

}  // namespace rivulet::pipeline
