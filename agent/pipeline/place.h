// Place: where a record failed, so that `quarantine retry` can let it go on from there. As text in QuarantineEntry::place:
// `arrival`, `key`, `steps[2]`, `steps[2].other`, `steps[2].list`, `to[0]`; then `text` when its value is plain text; then `after` and the kinds of
// the steps before it. A person reads it, and it stays right when other steps are changed but not when they are moved.
// Thread: any.
#pragma once
#include <cstddef>
#include <optional>
#include <string>
#include <string_view>

#include "agent/config/config.h"

namespace rivulet::pipeline {

struct Place {
  enum class At {
    arrival,  // it could not be decoded: a frame of its source
    key,      // decoded, before its source's `key:`
    step,     // number `index` of the pipeline's
    other,    // the same, as a record of a join's other side
    list,     // a flatten step before it took its list apart
    output,   // number `index` of the pipeline's `to`
  } at = At::arrival;
  std::size_t index = 0;
  bool text = false;
  std::string before = {};  // kinds of the steps before it
};

std::string text_of(const Place& place);
std::optional<Place> place_of(std::string_view text);  // none: it is no place
std::string kinds_before(const config::Pipeline& pipeline, const Place& place);

}  // namespace rivulet::pipeline
