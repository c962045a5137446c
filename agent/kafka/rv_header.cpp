#include "agent/kafka/rv_header.h"

#include <limits>

#include "agent/base/bytes.h"

namespace rivulet::kafka {
namespace {
constexpr std::uint8_t version = 1;
}

std::string rv_prefix(std::string_view agent, StreamId stream, const Uuid& incarnation) {
  std::string to;
  put_u8(to, version);
  put_sized(to, agent);
  put_varint(to, stream);
  to += incarnation.view();
  return to;
}

void encode_rv(std::string& to, std::string_view prefix, Sequence sequence) {
  to += prefix;
  put_varint(to, sequence);
}

std::optional<RvHeader> decode_rv(std::string_view bytes) {
  Reader reader(bytes);
  if (reader.u8() != version) return std::nullopt;
  RvHeader header;
  header.agent = reader.sized();
  const auto stream = reader.varint();
  const auto incarnation = reader.bytes(16);
  header.sequence = reader.varint();
  if (!reader.ok() || !reader.at_end() || stream > std::numeric_limits<StreamId>::max() || header.sequence == 0) return std::nullopt;
  header.stream = static_cast<StreamId>(stream);
  header.incarnation = Uuid::from_bytes(incarnation);
  return header;
}

void encode_rv_gap(std::string& to, const RvGap& gap) {
  put_u8(to, version);
  put_varint(to, gap.first);
  put_varint(to, gap.last);
  put_sized(to, gap.reason);
}

std::optional<RvGap> decode_rv_gap(std::string_view bytes) {
  Reader reader(bytes);
  if (reader.u8() != version) return std::nullopt;
  RvGap gap;
  gap.first = reader.varint();
  gap.last = reader.varint();
  gap.reason = reader.sized();
  if (!reader.ok() || !reader.at_end() || gap.first == 0 || gap.first > gap.last) return std::nullopt;
  return gap;
}

}  // namespace rivulet::kafka
