// HeldRecord: a record that a step keeps back, as bytes in its state. Thread: any. Lifetime: what is read are views into the bytes.
#pragma once
#include <optional>
#include <string>
#include <string_view>

#include "agent/base/bytes.h"
#include "agent/pipeline/stateful/operator.h"

namespace rivulet::pipeline {

void put_held(std::string& to, const Row& row);
// False: the bytes do not read.
bool read_held(Reader& from, Emitted& record);
// A column of `rivulet query`: the value as JSON.
std::string shown_value(const Emitted& record);

}  // namespace rivulet::pipeline
