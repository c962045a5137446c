// What a request has to be before its body is read, and how its body is cut into frames. Pure: no I/O.
//
// Thread: any.
#pragma once
#include <array>
#include <cstdint>
#include <optional>
#include <string_view>

#include "agent/codec/decompress.h"
#include "agent/config/source.h"
#include "agent/source/http/answer.h"
#include "agent/source/http/request.h"

namespace rivulet::source {

class Rules {
 public:
  Rules(const config::HttpSource& config, config::Decode::Kind decode);

  // Why it is refused; none: its body may come.
  std::optional<Answer> refuse(const Request& request) const;
  bool by_lines(const Request& request) const;  // a frame is a line; else the body is one
  static std::optional<codec::Compression> compression(const Request& request);

 private:
  using Digest = std::array<unsigned char, 32>;
  static Digest digest(std::string_view text);
  bool may_enter(std::string_view authorization) const;
  bool fits(std::string_view media_type) const;

  const config::HttpSource& config_;
  const config::Decode::Kind decode_;
  const Digest token_;
};

}  // namespace rivulet::source
