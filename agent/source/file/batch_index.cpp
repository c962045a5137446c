#include "agent/source/file/batch_index.h"

#include <algorithm>
#include <functional>
#include <ranges>

namespace rivulet::source {
namespace {

std::uint64_t hash_of(const std::string& path) { return std::hash<std::string>{}(path); }

void sort(auto& entries) {
  std::ranges::stable_sort(entries, {}, [](const auto& entry) { return entry.first; });
}

auto of(const auto& sorted, std::uint64_t key) {
  return std::ranges::equal_range(sorted, key, {}, [](const auto& entry) { return entry.first; });
}

}  // namespace

BatchIndex::BatchIndex(std::map<std::uint64_t, Batch>& batches, const Listing& listing, std::uint64_t poll) : poll_(poll) {
  by_inode_.reserve(batches.size());
  by_path_.reserve(batches.size());
  listed_.reserve(listing.files.size());
  for (auto& [serial, batch] : batches) {
    by_inode_.emplace_back(batch.inode, &batch);
    by_path_.emplace_back(hash_of(batch.path), &batch);
  }
  for (const Seen& seen : listing.files) listed_.emplace_back(seen.inode, &seen);
  sort(by_inode_);
  sort(by_path_);
  sort(listed_);
}

Batch* BatchIndex::unchanged(const Seen& seen) const {
  for (const auto& [inode, batch] : of(by_inode_, seen.inode))
    if (batch->inode == seen.inode && batch->path == seen.path && batch->size == seen.size && batch->modified_ns == seen.modified_ns) return batch;
  return nullptr;
}

Batch* BatchIndex::known(const Seen& seen, const std::string& head) const {
  const auto fits = [&](const Batch& batch) { return batch.seen_poll != poll_ && batch.head.compare(head) == Head::Match::same; };
  for (const auto& [inode, batch] : of(by_inode_, seen.inode))
    if (batch->inode == seen.inode && fits(*batch)) return batch;
  Batch* found = nullptr;
  for (const auto& [hash, batch] : of(by_path_, hash_of(seen.path)))
    if (batch->path == seen.path && fits(*batch) && !renamed(*batch)) found = batch;
  return found;
}

// Its file is there under another name: what has its path is another file of the same beginning.
bool BatchIndex::renamed(const Batch& batch) const {
  return std::ranges::any_of(of(listed_, batch.inode), [&](const auto& entry) {
    const Seen& other = *entry.second;
    if (other.path == batch.path) return false;
    const auto there = read_head(other);
    return there && batch.head.compare(*there) == Head::Match::same;
  });
}

}  // namespace rivulet::source
