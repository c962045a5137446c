#include "store/pack.h"

#include <lz4.h>
#include <zstd.h>

#define XXH_INLINE_ALL
#include <xxhash.h>

#include "agent/base/bytes.h"
#include "agent/base/check.h"

namespace rivulet::store {
namespace {

constexpr std::uint8_t kVersion = 1, kVersionWithWindows = 2;
constexpr int kZstdLevel = 1;  // sensor JSON shrinks to 0.10 at level 1; higher levels cost more than they save
constexpr std::size_t kChecksumAt = 2, kSummedFrom = 6;
constexpr std::uint64_t kLeastRecordBytes = 3;
enum Codec : std::uint8_t { kNone = 0, kLz4 = 1, kZstd = 2 };

Error damaged(const char* what) {
  return Error{ErrorCode::corrupt, std::string("outbox: a pack is damaged (") + what + ")"};
}

std::optional<std::string_view> nullable(Reader& reader) {
  const std::uint64_t size = reader.varint();
  if (size == 0) return std::nullopt;
  return reader.bytes(size - 1);
}

std::optional<Window> read_window(Reader& reader) {
  const std::uint8_t kind = reader.u8();
  if (kind == 0) return std::nullopt;
  Window window;
  window.session = kind == 2;
  window.start_ms = reader.zigzag();
  window.end_ms = reader.zigzag();
  return window;
}

}  // namespace

std::string pack_checksum(std::string_view bytes) {
  std::string sum;
  put_u32_be(sum, static_cast<std::uint32_t>(XXH3_64bits(bytes.data(), bytes.size())));
  return sum;
}

void append_to_body(std::string& body, std::optional<std::string_view> key, std::optional<std::string_view> value,
                    Timestamp timestamp_ms, Timestamp previous_ms) {
  // Unsigned arithmetic: timestamps are hostile input and may lie far apart.
  put_zigzag(body, static_cast<std::int64_t>(static_cast<std::uint64_t>(timestamp_ms) - static_cast<std::uint64_t>(previous_ms)));
  put_varint(body, key ? key->size() + 1 : 0);
  if (key) body.append(*key);
  put_varint(body, value ? value->size() + 1 : 0);
  if (value) body.append(*value);
}

void append_window_to_body(std::string& body, const std::optional<Window>& window) {
  put_u8(body, !window ? 0 : window->session ? 2 : 1);
  if (!window) return;
  put_zigzag(body, window->start_ms);
  put_zigzag(body, window->end_ms);
}

struct PackCodec::Contexts {
  ZSTD_CCtx* compress = nullptr;
  ZSTD_DCtx* decompress = nullptr;
  ~Contexts() {
    ZSTD_freeCCtx(compress);
    ZSTD_freeDCtx(decompress);
  }
};

PackCodec::PackCodec() : contexts_(std::make_unique<Contexts>()) {}
PackCodec::~PackCodec() = default;

std::string PackCodec::encode(std::string_view body, std::uint64_t count, Compression compression, bool windows) {
  RV_CHECK(body.size() <= kMaxBodyBytes, "a pack is bounded");
  std::string row;
  put_u8(row, windows ? kVersionWithWindows : kVersion);
  put_u8(row, kNone);
  put_u32_be(row, 0);
  put_varint(row, count);
  put_varint(row, body.size());
  const std::size_t head = row.size();
  std::size_t packed = 0;  // 0: it did not shrink
  if (compression == Compression::zstd) {
    if (contexts_->compress == nullptr) contexts_->compress = ZSTD_createCCtx();
    row.resize(head + ZSTD_compressBound(body.size()));
    const std::size_t size = contexts_->compress == nullptr ? 0
        : ZSTD_compressCCtx(contexts_->compress, row.data() + head, row.size() - head, body.data(), body.size(), kZstdLevel);
    if (ZSTD_isError(size) == 0U && size < body.size()) packed = size;
    if (packed != 0) row[1] = static_cast<char>(kZstd);
  } else if (compression == Compression::lz4) {
    row.resize(head + static_cast<std::size_t>(LZ4_compressBound(static_cast<int>(body.size()))));
    const int size = LZ4_compress_default(body.data(), row.data() + head, static_cast<int>(body.size()), static_cast<int>(row.size() - head));
    if (size > 0 && static_cast<std::size_t>(size) < body.size()) packed = static_cast<std::size_t>(size);
    if (packed != 0) row[1] = static_cast<char>(kLz4);
  }
  row.resize(head + packed);
  if (packed == 0) row.append(body);
  row.replace(kChecksumAt, kSummedFrom - kChecksumAt, pack_checksum(std::string_view(row).substr(kSummedFrom)));
  return row;
}

result<PackRecords> PackCodec::decode(std::string_view row, std::uint64_t skip) {
  std::uint64_t count = 0;
  bool windows = false;
  auto body = open(row, count, windows);
  if (!body) return body.error();
  PackRecords found;
  found.body = std::make_unique<const std::string>(std::move(*body));
  found.records.reserve(count > skip ? count - skip : 0);
  Reader reader(*found.body);
  std::uint64_t timestamp = 0;
  for (std::uint64_t i = 0; i < count && reader.ok(); ++i) {
    timestamp += static_cast<std::uint64_t>(reader.zigzag());
    PackRecord record;
    record.timestamp_ms = static_cast<Timestamp>(timestamp);
    record.key = nullable(reader);
    record.value = nullable(reader);
    if (windows) record.window = read_window(reader);
    if (i >= skip) found.records.push_back(record);
  }
  if (!reader.ok() || !reader.at_end()) return damaged("its records do not add up");
  return found;
}

result<std::string> PackCodec::body(std::string_view row) {
  std::uint64_t count = 0;
  bool windows = false;
  return open(row, count, windows);
}

result<std::string> PackCodec::open(std::string_view row, std::uint64_t& count, bool& windows) {
  Reader header(row);
  const std::uint8_t version = header.u8();
  const std::uint8_t codec = header.u8();
  const std::string_view sum = header.bytes(kSummedFrom - kChecksumAt);
  if (header.ok() && (version == kVersion || version == kVersionWithWindows) && pack_checksum(header.rest()) != sum) return damaged("its checksum does not match");
  count = header.varint();
  const std::uint64_t raw_size = header.varint();
  if (!header.ok()) return damaged("its header is cut");
  windows = version == kVersionWithWindows;
  if (version != kVersion && !windows) return damaged("its version is unknown");
  if (raw_size > kMaxBodyBytes || count > raw_size / kLeastRecordBytes) return damaged("its sizes are impossible");

  std::string raw;
  std::string_view body = header.rest();
  if (codec != kNone) {
    raw.resize(raw_size);
    std::size_t got = 0;
    if (codec == kZstd) {
      if (contexts_->decompress == nullptr) contexts_->decompress = ZSTD_createDCtx();
      if (contexts_->decompress == nullptr) return Error{ErrorCode::unavailable, "outbox: no memory to decompress a pack"};
      got = ZSTD_decompressDCtx(contexts_->decompress, raw.data(), raw.size(), body.data(), body.size());
      if (ZSTD_isError(got) != 0U) return damaged(ZSTD_getErrorName(got));
    } else if (codec == kLz4) {
      const int size = LZ4_decompress_safe(body.data(), raw.data(), static_cast<int>(body.size()), static_cast<int>(raw.size()));
      if (size < 0) return damaged("lz4 refused it");
      got = static_cast<std::size_t>(size);
    } else {
      return damaged("its codec is unknown");
    }
    if (got != raw_size) return damaged("its size is wrong");
    return raw;
  }
  if (body.size() != raw_size) return damaged("its size is wrong");
  return std::string(body);
}

}  // namespace rivulet::store
