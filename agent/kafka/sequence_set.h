// SequenceSet: which sequence numbers of a stream were seen; for verify.
//
// A stream's records are spread over partitions that are read at different speeds, so "next expected" is not enough and
// intervals would fragment. Numbers are kept as bitmaps of 65,536 that vanish when they are full.
// Bound: 8 KiB for each started and not yet full stretch; chunks() lets the owner stop at a limit. Thread: the owner's.
#pragma once
#include <bitset>
#include <cstdint>
#include <map>
#include <memory>
#include <vector>

#include "agent/base/ids.h"

namespace rivulet::kafka {

struct SequenceRange {
  Sequence first = 0, last = 0;  // both included
  bool operator==(const SequenceRange&) const = default;
};

class SequenceSet {
 public:
  bool add(Sequence sequence);  // false: it was there already
  std::uint64_t add(SequenceRange range);  // answers how many were there already
  std::size_t chunks() const { return open_; }

  // What is not in the set within [first, last]: the count, and the first `limit` ranges.
  struct Missing {
    std::uint64_t count = 0;
    std::vector<SequenceRange> ranges;
  };
  Missing missing(SequenceRange within, std::size_t limit) const;

 private:
  static constexpr std::uint64_t chunk_size = 65'536;
  struct Chunk {
    std::uint32_t count = 0;
    std::unique_ptr<std::bitset<chunk_size>> bits;  // null when count == chunk_size
  };
  std::map<std::uint64_t, Chunk> chunks_;
  std::size_t open_ = 0;
};

}  // namespace rivulet::kafka
