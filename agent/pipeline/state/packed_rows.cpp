#include "agent/pipeline/state/packed_rows.h"

#include <algorithm>
#include <cstring>

#include "agent/base/check.h"

namespace rivulet::pipeline {
namespace {

PackedRows::Head read(const char* at) {
  PackedRows::Head head;
  std::memcpy(&head.log, at, 4);
  std::memcpy(&head.flags, at + 4, 1);
  std::memcpy(&head.key_bytes, at + 5, 4);
  std::memcpy(&head.value_bytes, at + 9, 4);
  return head;
}

void write(char* at, const PackedRows::Head& head) {
  std::memcpy(at, &head.log, 4);
  std::memcpy(at + 4, &head.flags, 1);
  std::memcpy(at + 5, &head.key_bytes, 4);
  std::memcpy(at + 9, &head.value_bytes, 4);
}

}  // namespace

std::string_view PackedRows::key(const Leaf& leaf, std::size_t row) const {
  const char* at = leaf.bytes.data() + leaf.rows[row];
  std::uint32_t bytes = 0;
  std::memcpy(&bytes, at + 5, 4);
  return {at + kHeadBytes, bytes};
}

std::size_t PackedRows::size(const Leaf& leaf, std::size_t row) const {
  const Head head = read(leaf.bytes.data() + leaf.rows[row]);
  return kHeadBytes + head.key_bytes + head.value_bytes;
}

PackedRows::Position PackedRows::next(Position at) const {
  if (++at.row < leaves_[at.leaf].rows.size()) return at;
  return {at.leaf + 1, 0};
}

PackedRows::Position PackedRows::lower_bound(std::string_view wanted) const {
  if (leaves_.empty()) return {};
  const auto after = std::upper_bound(leaves_.begin(), leaves_.end(), wanted, [this](std::string_view key, const Leaf& leaf) { return key < this->key(leaf, 0); });
  const std::size_t number = after == leaves_.begin() ? 0 : static_cast<std::size_t>(after - leaves_.begin()) - 1;
  const Leaf& leaf = leaves_[number];
  std::size_t low = 0, high = leaf.rows.size();
  while (low < high) {
    const std::size_t middle = (low + high) / 2;
    if (key(leaf, middle) < wanted) low = middle + 1;
    else high = middle;
  }
  if (low == leaf.rows.size()) return {number + 1, 0};
  return {number, low};
}

PackedRows::Head PackedRows::head(Position at) const { return read(leaves_[at.leaf].bytes.data() + leaves_[at.leaf].rows[at.row]); }

void PackedRows::set(Position at, std::uint32_t log, std::uint8_t flags) {
  char* row = leaves_[at.leaf].bytes.data() + leaves_[at.leaf].rows[at.row];
  std::memcpy(row, &log, 4);
  std::memcpy(row + 4, &flags, 1);
}

std::string_view PackedRows::key(Position at) const { return key(leaves_[at.leaf], at.row); }

std::string_view PackedRows::value(Position at) const {
  const char* row = leaves_[at.leaf].bytes.data() + leaves_[at.leaf].rows[at.row];
  const Head head = read(row);
  return {row + kHeadBytes + head.key_bytes, head.value_bytes};
}

void PackedRows::append(Leaf& leaf, const Head& head, std::string_view key, std::string_view value) {
  char bytes[kHeadBytes];
  write(bytes, head);
  leaf.bytes.append(bytes, kHeadBytes);
  leaf.bytes += key;
  leaf.bytes += value;
}

PackedRows::Position PackedRows::put(Position at, std::string_view wanted, std::string_view value) {
  RV_CHECK(wanted.size() <= UINT32_MAX && value.size() <= UINT32_MAX - kLeafBytes, "a row is smaller than 4 GiB");
  if (is(at, wanted)) {
    Leaf& leaf = leaves_[at.leaf];
    char* row = leaf.bytes.data() + leaf.rows[at.row];
    Head head = read(row);
    if (head.value_bytes == value.size()) {
      std::copy(value.begin(), value.end(), row + kHeadBytes + head.key_bytes);  // an empty value may have no address
      return at;
    }
    const std::string key(wanted);  // it may be a view of this very row
    leaf.garbage += kHeadBytes + head.key_bytes + head.value_bytes;
    head.value_bytes = static_cast<std::uint32_t>(value.size());
    const auto offset = static_cast<std::uint32_t>(leaf.bytes.size());
    append(leaf, head, key, value);
    leaf.rows[at.row] = offset;
    tidy(leaf);
    return at;
  }
  if (leaves_.empty()) leaves_.emplace_back();
  if (at.row == 0 && at.leaf > 0) at = {at.leaf - 1, leaves_[at.leaf - 1].rows.size()};  // at the end of the leaf before: keys that ascend fill leaves
  Leaf& leaf = leaves_[at.leaf];
  const auto offset = static_cast<std::uint32_t>(leaf.bytes.size());
  append(leaf, {0, 0, static_cast<std::uint32_t>(wanted.size()), static_cast<std::uint32_t>(value.size())}, wanted, value);
  leaf.rows.insert(leaf.rows.begin() + static_cast<std::ptrdiff_t>(at.row), offset);
  if (!split(at.leaf)) return at;
  const std::size_t kept = leaves_[at.leaf].rows.size();
  return at.row < kept ? at : Position{at.leaf + 1, at.row - kept};
}

PackedRows::Position PackedRows::erase(Position at) {
  Leaf& leaf = leaves_[at.leaf];
  leaf.garbage += size(leaf, at.row);
  leaf.rows.erase(leaf.rows.begin() + static_cast<std::ptrdiff_t>(at.row));
  if (leaf.rows.empty()) {
    leaves_.erase(leaves_.begin() + static_cast<std::ptrdiff_t>(at.leaf));
    if (leaves_.empty()) leaves_.shrink_to_fit();
    return {at.leaf, 0};
  }
  tidy(leaf);
  return at.row < leaf.rows.size() ? at : Position{at.leaf + 1, 0};
}

void PackedRows::tidy(Leaf& leaf) {
  if (leaf.garbage * 2 < leaf.bytes.size()) return;
  std::string bytes;
  bytes.reserve(leaf.bytes.size() - leaf.garbage);
  for (std::uint32_t& row : leaf.rows) {
    const Head head = read(leaf.bytes.data() + row);
    const auto moved = static_cast<std::uint32_t>(bytes.size());
    bytes.append(leaf.bytes, row, kHeadBytes + head.key_bytes + head.value_bytes);
    row = moved;
  }
  leaf.bytes = std::move(bytes);
  leaf.garbage = 0;
}

bool PackedRows::split(std::size_t number) {
  if (leaves_[number].rows.size() <= kLeafRows && (leaves_[number].bytes.size() <= kLeafBytes || leaves_[number].rows.size() < 2)) return false;
  Leaf right;
  Leaf& left = leaves_[number];
  const auto middle = left.rows.begin() + static_cast<std::ptrdiff_t>(left.rows.size() / 2);
  for (auto row = middle; row != left.rows.end(); ++row) {
    const Head head = read(left.bytes.data() + *row);
    const std::size_t bytes = kHeadBytes + head.key_bytes + head.value_bytes;
    right.rows.push_back(static_cast<std::uint32_t>(right.bytes.size()));
    right.bytes.append(left.bytes, *row, bytes);
    left.garbage += bytes;
  }
  left.rows.erase(middle, left.rows.end());
  tidy(left);
  leaves_.insert(leaves_.begin() + static_cast<std::ptrdiff_t>(number) + 1, std::move(right));
  return true;
}

}  // namespace rivulet::pipeline
