#include "agent/codec/decompress.h"

#include <fmt/core.h>
#include <zlib.h>
#include <zstd.h>

#include <algorithm>
#include <climits>
#include <cstring>

#include "agent/base/check.h"

namespace rivulet::codec {
namespace {

class Plain final : public Decompressor {
 public:
  result<Step> run(std::string_view in, std::span<char> out) override {
    const std::size_t size = std::min(in.size(), out.size());
    std::copy_n(in.data(), size, out.data());
    return Step{size, size};
  }
  bool at_end() const override { return true; }
};

class Gzip final : public Decompressor {
 public:
  Gzip() {
    RV_CHECK(inflateInit2(&stream_, MAX_WBITS + 16) == Z_OK, "zlib has memory for its window");  // + 16: gzip and nothing else
  }
  ~Gzip() override { inflateEnd(&stream_); }
  Gzip(const Gzip&) = delete;
  Gzip& operator=(const Gzip&) = delete;

  result<Step> run(std::string_view in, std::span<char> out) override {
    in = in.substr(0, UINT_MAX);
    out = out.first(std::min<std::size_t>(out.size(), UINT_MAX));
    if (in.empty() && !inside_) return Step{};
    if (ended_ && !in.empty()) {  // another member
      inflateReset(&stream_);
      ended_ = false;
    }
    stream_.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(in.data()));  // zlib does not write there
    stream_.avail_in = static_cast<uInt>(in.size());
    stream_.next_out = reinterpret_cast<Bytef*>(out.data());
    stream_.avail_out = static_cast<uInt>(out.size());
    const int answer = inflate(&stream_, Z_NO_FLUSH);
    const Step step{in.size() - stream_.avail_in, out.size() - stream_.avail_out};
    if (answer == Z_STREAM_END) ended_ = true;
    else if (answer != Z_OK && answer != Z_BUF_ERROR) return Error{ErrorCode::invalid, fmt::format("damaged gzip: {}", stream_.msg != nullptr ? stream_.msg : zError(answer))};
    begun_ = begun_ || step.used > 0;
    inside_ = !ended_ && stream_.avail_out == 0;
    return step;
  }
  bool at_end() const override { return ended_ || !begun_; }

 private:
  z_stream stream_{};
  bool ended_ = false, begun_ = false, inside_ = false;
};

class Zstd final : public Decompressor {
 public:
  Zstd() : stream_(ZSTD_createDStream()) {
    RV_CHECK(stream_ != nullptr, "zstd has memory for a stream");
    static_assert(kMaxWindowBytes == 1U << 23);
    RV_CHECK(ZSTD_isError(ZSTD_DCtx_setParameter(stream_, ZSTD_d_windowLogMax, 23)) == 0, "zstd knows windows of 8 MiB");
  }
  ~Zstd() override { ZSTD_freeDStream(stream_); }
  Zstd(const Zstd&) = delete;
  Zstd& operator=(const Zstd&) = delete;

  result<Step> run(std::string_view in, std::span<char> out) override {
    ZSTD_inBuffer from{in.data(), in.size(), 0};
    ZSTD_outBuffer to{out.data(), out.size(), 0};
    if (in.empty() && wanted_ == 0) return Step{};
    const std::size_t answer = ZSTD_decompressStream(stream_, &to, &from);
    if (ZSTD_isError(answer) != 0) return Error{ErrorCode::invalid, fmt::format("damaged zstd: {}", ZSTD_getErrorName(answer))};
    wanted_ = answer;
    return Step{from.pos, to.pos};
  }
  bool at_end() const override { return wanted_ == 0; }

 private:
  ZSTD_DStream* const stream_;
  std::size_t wanted_ = 0;  // 0: a frame is complete and flushed, or none has begun
};

}  // namespace

Compression compression_of(std::string_view first_bytes) {
  if (first_bytes.substr(0, 2) == "\x1F\x8B") return Compression::gzip;
  if (first_bytes.substr(0, 4) == "\x28\xB5\x2F\xFD") return Compression::zstd;
  // A skippable frame (RFC 8878 section 3.1.2), as pzstd begins with.
  if (first_bytes.size() >= 4 && (static_cast<unsigned char>(first_bytes[0]) & 0xF0) == 0x50 && first_bytes.substr(1, 3) == "\x2A\x4D\x18") return Compression::zstd;
  return Compression::none;
}

bool states_size(Compression compression, std::string_view first_bytes, std::string_view last_bytes, std::uint64_t size) {
  if (compression == Compression::zstd) return ZSTD_getFrameContentSize(first_bytes.data(), first_bytes.size()) == size;
  if (compression != Compression::gzip || last_bytes.size() != 4) return false;
  std::uint32_t stated = 0;
  for (std::size_t i = 4; i-- > 0;) stated = stated << 8 | static_cast<unsigned char>(last_bytes[i]);
  return stated == static_cast<std::uint32_t>(size);
}

std::unique_ptr<Decompressor> Decompressor::make(Compression compression) {
  if (compression == Compression::gzip) return std::make_unique<Gzip>();
  if (compression == Compression::zstd) return std::make_unique<Zstd>();
  return std::make_unique<Plain>();
}

}  // namespace rivulet::codec
