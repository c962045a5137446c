#include "agent/kafka/sequence_set.h"

#include <algorithm>

namespace rivulet::kafka {

bool SequenceSet::add(Sequence sequence) {
  auto& chunk = chunks_[sequence / chunk_size];
  if (chunk.count == chunk_size) return false;
  if (!chunk.bits) {
    chunk.bits = std::make_unique<std::bitset<chunk_size>>();
    ++open_;
  }
  const auto bit = static_cast<std::size_t>(sequence % chunk_size);
  if (chunk.bits->test(bit)) return false;
  chunk.bits->set(bit);
  if (++chunk.count == chunk_size) {
    chunk.bits.reset();
    --open_;
  }
  return true;
}

std::uint64_t SequenceSet::add(SequenceRange range) {
  std::uint64_t seen = 0;
  for (auto sequence = range.first;; ++sequence) {
    const auto chunk = chunks_.find(sequence / chunk_size);
    const bool whole = sequence % chunk_size == 0 && range.last - sequence >= chunk_size - 1;
    if (whole && chunk == chunks_.end()) {  // a gap of millions costs nothing
      chunks_[sequence / chunk_size].count = chunk_size;
      sequence += chunk_size - 1;
    } else if (!add(sequence)) {
      ++seen;
    }
    if (sequence == range.last) return seen;
  }
}

SequenceSet::Missing SequenceSet::missing(SequenceRange within, std::size_t limit) const {
  Missing missing;
  bool extends = false;  // the last range may grow
  const auto lacks = [&](Sequence first, Sequence last) {
    missing.count += last - first + 1;
    if (extends && missing.ranges.back().last + 1 == first) missing.ranges.back().last = last;
    else if ((extends = missing.ranges.size() < limit)) missing.ranges.push_back({first, last});
  };
  for (auto at = within.first; at <= within.last && at != 0;) {
    const auto number = at / chunk_size;
    const auto end = std::min(within.last, number * chunk_size + (chunk_size - 1));
    const auto chunk = chunks_.find(number);
    if (chunk == chunks_.end()) {
      const auto next = chunks_.upper_bound(number);
      const auto until = next == chunks_.end() ? within.last : std::min(within.last, next->first * chunk_size - 1);
      lacks(at, until);
      at = until + 1;
      continue;
    }
    if (chunk->second.bits) {
      for (auto sequence = at;; ++sequence) {
        if (!chunk->second.bits->test(static_cast<std::size_t>(sequence % chunk_size))) lacks(sequence, sequence);
        if (sequence == end) break;
      }
    }
    at = end + 1;
  }
  return missing;
}

}  // namespace rivulet::kafka
