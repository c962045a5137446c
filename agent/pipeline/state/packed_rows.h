// PackedRows: a sorted table of bytes -> bytes in little memory: leaves of packed rows with an offset each, as in a B-tree; what all keys of
// a leaf begin with is there once.
//
// Measured: a std::map of strings costs 200 bytes beside a key and a value of 20 bytes each, this 12, less what keys share. A leaf splits at
// kLeafRows rows or kLeafBytes; what a changed value leaves behind is cleared away when it is half of the leaf.
// Thread: one. Positions and values are valid until the next put or erase, a key until the next key(), put or erase.
#pragma once
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

namespace rivulet::pipeline {

class PackedRows {
 public:
  struct Head {
    std::uint32_t log = 0;
    std::uint8_t flags = 0;
    std::uint32_t value_bytes = 0;
  };
  struct Position {
    std::size_t leaf = 0, row = 0;
    bool operator==(const Position&) const = default;
  };

  bool empty() const { return leaves_.empty(); }
  Position begin() const { return {}; }
  bool at_end(Position at) const { return at.leaf >= leaves_.size(); }
  Position next(Position at) const;
  Position lower_bound(std::string_view key) const;
  bool is(Position at, std::string_view key) const;

  Head head(Position at) const;
  void set(Position at, std::uint32_t log, std::uint8_t flags);
  std::string_view key(Position at) const;
  std::string_view value(Position at) const;

  // `at` is lower_bound(key); a row that is there keeps its head. Answers where it is now.
  Position put(Position at, std::string_view key, std::string_view value);
  Position erase(Position at);  // answers what comes after it
  std::size_t leaves() const { return leaves_.size(); }
  Position leaf(std::size_t number) const { return {number, 0}; }
  std::size_t memory_bytes() const { return memory_; }

 private:
  static constexpr std::size_t kLeafRows = 64, kLeafBytes = 8192;
  struct Leaf {
    std::string prefix;  // of every key; the rows have the rest
    std::vector<std::uint32_t> rows;  // offsets into bytes, ascending by key
    std::string bytes;                // a row: log, flags, the lengths of rest and value as varints, rest, value
    std::size_t garbage = 0;
  };
  struct Parts {
    std::string_view rest, value;
    std::size_t bytes = 0;  // the whole row
  };
  static Parts parts(const Leaf& leaf, std::size_t row);
  static std::string_view rest(const Leaf& leaf, std::size_t row);
  static bool before(std::string_view key, const std::unique_ptr<Leaf>& leaf);  // its first row
  static std::size_t memory_of(const Leaf& leaf);
  static void append(Leaf& leaf, std::uint32_t log, std::uint8_t flags, std::string_view rest, std::string_view value);
  static void rewrite(Leaf& leaf, std::string prefix);  // begins with the keys' common bytes, or less
  static std::string common(const Leaf& leaf, std::size_t first, std::size_t last);
  void tidy(Leaf& leaf);
  bool split(std::size_t leaf);

  std::vector<std::unique_ptr<Leaf>> leaves_;
  std::size_t memory_ = 0;
  mutable std::string key_;
};

}  // namespace rivulet::pipeline
