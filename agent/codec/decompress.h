// Decompressor: gzip (RFC 1952) or Zstandard (RFC 8878) as a stream, a piece in and a piece out.
//
// Several members or frames one after the other are one stream, as gunzip and unzstd have it. Thread: one at a time. Bounds: it never writes more than
// it is given room for, so a bomb costs its reader time and no memory; its own memory is 32 KiB for gzip and kMaxWindowBytes for
// zstd (more is refused: `zstd --long` and `--ultra -22`). Errors: the bytes are damaged, or no such format; nothing more comes then.
#pragma once
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string_view>

#include "agent/base/result.h"

namespace rivulet::codec {

enum class Compression { none, gzip, zstd };

// By the first bytes; four are enough, and fewer may be too few.
Compression compression_of(std::string_view first_bytes);

// Whether a file with these first and last bytes (four) says of itself that it holds `size` decompressed bytes: gzip, modulo 2^32; zstd, where it knew.
// Of several members the last (gzip) or the first (zstd) is asked: good for telling that nothing has to be read, not that something is missing.
bool states_size(Compression compression, std::string_view first_bytes, std::string_view last_bytes, std::uint64_t size);

class Decompressor {
 public:
  static constexpr std::size_t kMaxWindowBytes = 8 << 20;  // what zstd -19 uses
  struct Step {
    std::size_t used = 0, made = 0;  // bytes of `in`, bytes in `out`
  };

  static std::unique_ptr<Decompressor> make(Compression compression);  // none: the bytes as they are
  virtual ~Decompressor() = default;
  // Call it again with what is left of `in`, and while `out` was filled: more may wait inside.
  virtual result<Step> run(std::string_view in, std::span<char> out) = 0;
  // Whether the stream may end here: a member is complete, its checksum was right, and nothing waits inside.
  virtual bool at_end() const = 0;
};

}  // namespace rivulet::codec
