#include "agent/sink/file/position.h"

#include "agent/base/bytes.h"

namespace rivulet::sink {
namespace {

constexpr std::uint8_t kVersion = 1;

}  // namespace

std::string encode(const Position& position) {
  std::string bytes;
  put_u8(bytes, kVersion);
  put_varint(bytes, position.offset);
  put_varint(bytes, position.tail_bytes);
  put_u64_be(bytes, position.tail_hash);
  put_u64_be(bytes, position.inode);
  put_zigzag(bytes, position.begun_ms);
  put_varint(bytes, position.number);
  put_u8(bytes, position.renaming ? 1 : 0);
  put_sized(bytes, position.format);
  return bytes;
}

std::optional<Position> decode_position(std::string_view bytes) {
  Reader reader(bytes);
  if (reader.u8() != kVersion) return std::nullopt;
  Position position;
  position.offset = reader.varint();
  const std::uint64_t tail = reader.varint();
  position.tail_hash = reader.u64_be();
  position.inode = reader.u64_be();
  position.begun_ms = reader.zigzag();
  position.number = reader.varint();
  position.renaming = reader.u8() != 0;
  position.format = reader.sized();
  if (!reader.ok() || !reader.at_end() || tail > kTailBytes || tail > position.offset) return std::nullopt;
  position.tail_bytes = static_cast<std::uint32_t>(tail);
  return position;
}

std::string position_fact(const std::string& path) { return "sink:file:" + path; }

}  // namespace rivulet::sink
