// Head: what a file is recognised by: a hash of its first bytes, as many as were read, at most 1 KiB.
//
// Only bytes of complete, consumed lines count, so that a torn last line that a power cut takes away changes nothing. The bytes themselves
// tell a file that lost its tail from one that was written anew: lines often begin alike. Where they are not known (they are stored apart from
// text(), by versions before not at all) a ladder of hashes of shorter beginnings does, as well as it can. Thread: any. Size: at most 1 KiB + 80 bytes.
#pragma once
#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace rivulet::source {

class Head {
 public:
  static constexpr std::size_t max_bytes = 1024;
  static constexpr std::array<std::uint16_t, 12> steps{16, 32, 48, 64, 96, 128, 192, 256, 384, 512, 768, 1024};

  enum class Match {
    unknown,    // nothing was read of it yet
    same,       // all recorded bytes are there
    shorter,    // the file is shorter than what was recorded, and is a beginning of it
    different,
  };

  void set(std::string_view first_bytes);  // the file's beginning, cut at 1 KiB; keeps the bytes
  bool restore(std::string_view bytes);            // what bytes() was before a restart; false: this is not their head
  std::string_view bytes() const { return bytes_; }  // empty: not known
  void forget_bytes() { bytes_.clear(); bytes_.shrink_to_fit(); }
  std::size_t length() const { return length_; }
  Match compare(std::string_view file_head) const;  // file_head: the file's first min(size, 1 KiB) bytes

  std::string text() const;  // "<length>:<hash>:<ladder>"
  static std::optional<Head> parse(std::string_view text);

 private:
  std::uint16_t length_ = 0;
  std::uint64_t hash_ = 0;
  std::array<std::uint32_t, steps.size()> ladder_{};  // of the steps up to length_
  std::string bytes_;
};

}  // namespace rivulet::source
