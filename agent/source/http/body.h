// Body: a request's body as it comes over the wire, and what it says when it is decompressed.
//
// Bounds: of one max_bytes; of all together the budget, which counts memory that is held and not length that is promised. A compressed body is kept as it
// came and decompressed whole when it is used, so that at most one is unpacked at a time: a bomb costs max_bytes and the codec's window.
// Thread: io. Lifetime: the budget outlives it, unless it is empty.
#pragma once
#include <cstdint>
#include <string>
#include <string_view>

#include "agent/base/result.h"
#include "agent/codec/decompress.h"

namespace rivulet::source {

struct BodyBudget {
  std::uint64_t max_bytes = 0, used_bytes = 0;
};

class Body {
 public:
  enum class Fault { none, too_long, no_memory };

  Body(BodyBudget& budget, std::uint64_t max_bytes) : budget_(budget), max_bytes_(max_bytes) {}
  ~Body() { clear(); }
  Body(const Body&) = delete;
  Body& operator=(const Body&) = delete;

  bool add(std::string_view bytes);  // false: fault() says why
  Fault fault() const { return fault_; }
  void clear();
  std::string_view wire() const { return bytes_; }

 private:
  bool reserve(std::size_t need);

  BodyBudget& budget_;
  const std::uint64_t max_bytes_;
  std::uint64_t charged_ = 0;
  Fault fault_ = Fault::none;
  std::string bytes_;
};

// Decompressed; with Compression::none a view of `wire`, else of `buffer`. Errors: full (longer than max_bytes), invalid (damaged or cut).
result<std::string_view> unpack(std::string_view wire, codec::Compression compression, std::uint64_t max_bytes, std::string& buffer);

}  // namespace rivulet::source
