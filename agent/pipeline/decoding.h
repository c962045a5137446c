// A source's `decode`: which codec takes its frames apart.
//
// Thread: io; at build(). Errors: what is wrong with a pattern.
#pragma once
#include <memory>
#include <string>

#include "agent/base/result.h"
#include "agent/codec/decoder.h"
#include "agent/config/config.h"

namespace rivulet::pipeline {

// Null: json, and raw without a pattern, which need none.
result<std::unique_ptr<codec::Decoder>> make_decoder(const config::Decode& decode);

// In words: for `rivulet explain`.
std::string describe(const config::Decode& decode);

}  // namespace rivulet::pipeline
