// Byte strings on disk and on the wire: LEB128 varints, zigzag, big-endian integers.
//
// put_* append to a std::string. Reader takes them off a view; after the first failed read it stays failed (ok() is
// false, values are 0 or empty), so a caller checks once at the end. Bounds: a varint is at most 10 bytes.
// Thread: any.
#pragma once
#include <cstdint>
#include <string>
#include <string_view>

namespace rivulet {

void put_varint(std::string& to, std::uint64_t value);
void put_zigzag(std::string& to, std::int64_t value);
void put_u8(std::string& to, std::uint8_t value);
void put_u16_be(std::string& to, std::uint16_t value);
void put_u32_be(std::string& to, std::uint32_t value);
void put_u64_be(std::string& to, std::uint64_t value);
void put_sized(std::string& to, std::string_view bytes);  // varint length, then the bytes

class Reader {
 public:
  explicit Reader(std::string_view bytes) : rest_(bytes) {}
  std::uint64_t varint();
  std::int64_t zigzag();
  std::uint8_t u8();
  std::uint16_t u16_be();
  std::uint32_t u32_be();
  std::uint64_t u64_be();
  std::string_view bytes(std::uint64_t count);  // 64 bits also where size_t has 32: a length that was sent is not cut to a shorter one
  std::string_view sized();
  bool ok() const { return ok_; }
  bool at_end() const { return rest_.empty(); }
  std::string_view rest() const { return rest_; }

 private:
  std::uint64_t big_endian(std::uint64_t count);
  void fail() { ok_ = false; rest_ = {}; }
  std::string_view rest_;
  bool ok_ = true;
};

std::string to_hex(std::string_view bytes);

}  // namespace rivulet
