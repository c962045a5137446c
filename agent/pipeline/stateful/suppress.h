// The suppress step with a time limit. (Until closed is done by the aggregate before it.)
#pragma once
#include <memory>

#include "agent/pipeline/stateful/operator.h"

namespace rivulet::pipeline {

std::unique_ptr<Operator> make_suppress_limit(const OperatorParts& parts);

}  // namespace rivulet::pipeline
