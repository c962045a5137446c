// The `rv` and `rv-gap` headers: which record of which stream this is, for resolve, `rivulet verify` and readers that
// drop duplicates. The bytes are described in agent/forward/README.md.
//
// encode_* append. decode_* answer nothing for bytes that are not ours (hostile or of a newer version). Thread: any.
#pragma once
#include <optional>
#include <string>
#include <string_view>

#include "agent/base/ids.h"

namespace rivulet::kafka {

inline constexpr std::string_view rv_header_name = "rv";
inline constexpr std::string_view rv_gap_header_name = "rv-gap";
inline constexpr std::string_view gap_key = "rivulet-gap";

struct RvHeader {
  std::string_view agent;  // into the decoded bytes
  StreamId stream = 0;
  Uuid incarnation;
  Sequence sequence = 0;  // of a gap record: its last one
};

// Everything but the sequence number is the same for all records of a stream: encoded once.
std::string rv_prefix(std::string_view agent, StreamId stream, const Uuid& incarnation);
void encode_rv(std::string& to, std::string_view prefix, Sequence sequence);
std::optional<RvHeader> decode_rv(std::string_view bytes);

struct RvGap {
  Sequence first = 0;
  Sequence last = 0;
  std::string_view reason;
};
void encode_rv_gap(std::string& to, const RvGap& gap);
std::optional<RvGap> decode_rv_gap(std::string_view bytes);

}  // namespace rivulet::kafka
