// Pack: the row format of the outbox. One row holds many records of one stream.
//
// Constraints: one row a record costs 3.4-78x its payload in flash writes, packs 2.3-2.8x before compression. Decoding is
// safe on whatever bytes, and a flipped bit is noticed (SQLite has no checksums of its own).
// Format: version u8 (1), codec u8, u32 checksum of all that follows (XXH3-64, low half), varint record count, varint raw
// size, then the body, compressed. Body, raw: for each record zigzag(timestamp - previous timestamp; the first against 0),
// varint key size + 1 (0 = null), key, varint value size + 1 (0 = null), value.
// Version 2, of records with windows: after each value a byte (0: no window, 1: window, 2: session), then zigzag(start), zigzag(end).
// Thread: any (no state but the caller's PackCodec).
#pragma once
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "agent/base/ids.h"
#include "agent/base/result.h"
#include "store/store.h"

namespace rivulet::store {

// Adds one record to a raw body. `previous_ms` is the timestamp of the record before it in the same body, or 0.
void append_to_body(std::string& body, std::optional<std::string_view> key, std::optional<std::string_view> value,
                    Timestamp timestamp_ms, Timestamp previous_ms);

// In a body of version 2, after each record.
void append_window_to_body(std::string& body, const std::optional<Window>& window);

// Size bound of one pack's raw body when it is decoded; larger is taken for damage. Above the largest record plus a pack.
inline constexpr std::uint64_t kMaxBodyBytes = 256ULL << 20;

// The four bytes that stand for what follows them in a row.
std::string pack_checksum(std::string_view bytes);

// Keeps the compressor's memory between packs. Thread: one.
class PackCodec {
 public:
  PackCodec();
  ~PackCodec();
  PackCodec(const PackCodec&) = delete;
  PackCodec& operator=(const PackCodec&) = delete;

  // The row's bytes. What does not shrink is stored as it is.
  std::string encode(std::string_view body, std::uint64_t count, Compression compression, bool windows = false);

  // Records `skip`.. of the row; Error corrupt when the bytes are not a whole pack of ours.
  result<PackRecords> decode(std::string_view row, std::uint64_t skip = 0);
  // The body alone, raw.
  result<std::string> body(std::string_view row);

 private:
  struct Contexts;
  result<std::string> open(std::string_view row, std::uint64_t& count, bool& windows);
  std::unique_ptr<Contexts> contexts_;
};

}  // namespace rivulet::store
