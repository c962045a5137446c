#include "agent/source/http/body.h"

#include <algorithm>
#include <span>

namespace rivulet::source {

bool Body::add(std::string_view bytes) {
  if (fault_ != Fault::none) return false;
  if (bytes.size() > max_bytes_ - bytes_.size()) {
    fault_ = Fault::too_long;
    return false;
  }
  if (!reserve(bytes_.size() + bytes.size())) {
    fault_ = Fault::no_memory;
    return false;
  }
  bytes_.append(bytes);
  return true;
}

// Grows by doubling, never beyond the longest body.
bool Body::reserve(std::size_t need) {
  constexpr std::size_t kFirst = 1024;
  if (need <= charged_) return true;
  const auto most = static_cast<std::size_t>(max_bytes_);
  const std::size_t wanted = std::max(need, std::min(most, std::max(kFirst, 2 * bytes_.size())));
  std::size_t granted = wanted;
  const std::uint64_t left = budget_.max_bytes - budget_.used_bytes;
  if (granted - charged_ > left) granted = static_cast<std::size_t>(charged_ + left);
  if (granted < need) return false;
  budget_.used_bytes += granted - charged_;
  charged_ = granted;
  bytes_.reserve(granted);
  return true;
}

void Body::clear() {
  if (charged_ > 0) budget_.used_bytes -= charged_;  // an empty one may outlive the budget
  charged_ = 0;
  fault_ = Fault::none;
  bytes_ = std::string();
}

result<std::string_view> unpack(std::string_view wire, codec::Compression compression, std::uint64_t max_bytes, std::string& buffer) {
  constexpr std::size_t kStep = 64 * 1024;
  if (compression == codec::Compression::none) return wire;
  const auto decompressor = codec::Decompressor::make(compression);
  buffer.clear();
  std::size_t made = 0;
  for (std::string_view rest = wire;;) {
    const auto room = static_cast<std::size_t>(std::min<std::uint64_t>(max_bytes + 1 - made, kStep));  // + 1: to see that there is more
    if (buffer.size() < made + room) buffer.resize(made + room);
    auto step = decompressor->run(rest, std::span<char>(buffer).subspan(made, room));
    if (!step) return step.error();
    rest.remove_prefix(step->used);
    made += step->made;
    if (made > max_bytes) return Error{ErrorCode::full, "the body is longer than " + std::to_string(max_bytes) + " bytes when it is decompressed"};
    if (step->used == 0 && step->made == 0) break;
  }
  buffer.resize(made);
  if (!decompressor->at_end()) return Error{ErrorCode::invalid, "the compressed body is cut off"};
  return std::string_view(buffer);
}

}  // namespace rivulet::source
