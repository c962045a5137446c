// The `table` step: the latest row of each key, or with `history` every version (SEMANTICS.md 16, 17, 19).
//
// Each record that changes it goes on, with what the row was before (TableChange), also when nothing is different. A null key has no row:
// dropped. Windows are not kept: a table has one row a key. Thread: io. Lifetime: the Topology's.
#pragma once
#include "agent/pipeline/stateful/operator.h"

namespace rivulet::pipeline {

std::unique_ptr<Operator> make_table(const OperatorParts& parts);

}  // namespace rivulet::pipeline
