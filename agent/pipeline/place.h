// Place: where a quarantined record goes on, as text in QuarantineEntry::place (a person reads it, too):
//
//   arrival | key | steps | other | to    then ` text` when its value is plain text    then ` after ` and the steps that it had come through for good
//
// A pipeline is cut into chains of stateless steps by the steps that keep state, take lists apart or route. A record that fails in a chain, or in the step
// that ends it, is kept as it was at the chain's beginning, and goes through the chain again: its steps may be changed, moved, added and removed
// meanwhile. The steps that end the chains before it must be the same ones. Thread: any.
#pragma once
#include <optional>
#include <string>
#include <string_view>

namespace rivulet::pipeline {

struct Place {
  enum class At {
    arrival,  // it could not be decoded: a frame of its source
    key,      // decoded, before its source's `key:`
    steps,    // a chain of a pipeline
    other,    // a join's other side: that join ends the chain
    to,       // the last chain, for one output alone: QuarantineEntry::topic
  } at = At::arrival;
  bool text = false;
  std::string after = {};  // "aggregate hourly, flatten"; empty: the pipeline's beginning
};

std::string text_of(const Place& place);
std::optional<Place> place_of(std::string_view text);  // none: it is no place

}  // namespace rivulet::pipeline
