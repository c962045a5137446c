// Steps that let some records through as they are and leave the rest out, by what they remember: sample, dedupe, deadband, rate_limit.
//
// What each does to late records, null keys and null values: README.md in this folder. What is left out on purpose is counted
// (Emit::dropped). Thread: io. Lifetime: the Topology's.
#pragma once
#include "agent/pipeline/stateful/operator.h"

namespace rivulet::pipeline {

std::unique_ptr<Operator> make_sample(const OperatorParts& parts);
std::unique_ptr<Operator> make_dedupe(const OperatorParts& parts);
std::unique_ptr<Operator> make_deadband(const OperatorParts& parts);
std::unique_ptr<Operator> make_rate_limit(const OperatorParts& parts);

}  // namespace rivulet::pipeline
