// PackedRows: a sorted table of bytes -> bytes in little memory: leaves of packed rows with an offset each, as in a B-tree.
//
// Measured: a std::map of strings costs 200 bytes beside a key and a value of 20 bytes each, this 17. A leaf splits at kLeafRows rows or
// kLeafBytes; what a changed value leaves behind is cleared away when it is half of the leaf.
// Thread: one. Positions and views are valid until the next put or erase.
#pragma once
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace rivulet::pipeline {

class PackedRows {
 public:
  struct Head {
    std::uint32_t log = 0;
    std::uint8_t flags = 0;
    std::uint32_t key_bytes = 0, value_bytes = 0;
  };
  struct Position {
    std::size_t leaf = 0, row = 0;
    bool operator==(const Position&) const = default;
  };
  static constexpr std::size_t kRowBytes = 13 + sizeof(std::uint32_t);  // beside key and value

  bool empty() const { return leaves_.empty(); }
  Position begin() const { return {}; }
  bool at_end(Position at) const { return at.leaf >= leaves_.size(); }
  Position next(Position at) const;
  Position lower_bound(std::string_view key) const;
  bool is(Position at, std::string_view key) const { return !at_end(at) && this->key(at) == key; }

  Head head(Position at) const;
  void set(Position at, std::uint32_t log, std::uint8_t flags);
  std::string_view key(Position at) const;
  std::string_view value(Position at) const;

  // `at` is lower_bound(key); a row that is there keeps its head. Answers where it is now.
  Position put(Position at, std::string_view key, std::string_view value);
  Position erase(Position at);  // answers what comes after it
  std::size_t leaves() const { return leaves_.size(); }
  Position leaf(std::size_t number) const { return {number, 0}; }

 private:
  static constexpr std::size_t kLeafRows = 64, kLeafBytes = 8192, kHeadBytes = 13;
  struct Leaf {
    std::vector<std::uint32_t> rows;  // offsets into bytes, ascending by key
    std::string bytes;
    std::size_t garbage = 0;
  };
  std::string_view key(const Leaf& leaf, std::size_t row) const;
  std::size_t size(const Leaf& leaf, std::size_t row) const;
  static void append(Leaf& leaf, const Head& head, std::string_view key, std::string_view value);
  void tidy(Leaf& leaf);
  bool split(std::size_t leaf);

  std::vector<Leaf> leaves_;
};

}  // namespace rivulet::pipeline
