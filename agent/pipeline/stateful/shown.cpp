#include "agent/pipeline/stateful/operator.h"

namespace rivulet::pipeline {

KeyRange range_of_prefix(std::string_view prefix) {
  KeyRange range{std::string(prefix), std::string(prefix)};
  while (!range.to.empty() && static_cast<unsigned char>(range.to.back()) == 0xff) range.to.pop_back();
  if (!range.to.empty()) range.to.back() = static_cast<char>(static_cast<unsigned char>(range.to.back()) + 1);
  return range;
}

}  // namespace rivulet::pipeline
