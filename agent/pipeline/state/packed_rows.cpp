#include "agent/pipeline/state/packed_rows.h"

#include <algorithm>
#include <cstring>
#include <utility>

#include "agent/base/check.h"

namespace rivulet::pipeline {
namespace {

constexpr std::size_t kFixedBytes = 5;  // log, flags

std::uint32_t length(const char*& at) {
  std::uint32_t value = 0;
  for (unsigned shift = 0;; shift += 7) {
    const auto byte = static_cast<unsigned char>(*at++);
    value |= std::uint32_t{byte & 0x7fU} << shift;
    if (byte < 0x80) return value;
  }
}

char* put_length(char* at, std::size_t value) {
  for (; value >= 0x80; value >>= 7) *at++ = static_cast<char>(value | 0x80);
  *at++ = static_cast<char>(value);
  return at;
}

// A string grows to twice its size, which would be the memory of the table again.
void make_room(std::string& bytes, std::size_t more) {
  const std::size_t wanted = bytes.size() + more;
  if (wanted <= bytes.capacity()) return;
  std::string larger;
  larger.reserve(wanted + wanted / 8);
  larger = bytes;
  bytes = std::move(larger);
}

std::size_t shared(std::string_view a, std::string_view b) {
  return static_cast<std::size_t>(std::mismatch(a.begin(), a.begin() + static_cast<std::ptrdiff_t>(std::min(a.size(), b.size())), b.begin()).first - a.begin());
}

}  // namespace

PackedRows::Parts PackedRows::parts(const Leaf& leaf, std::size_t row) {
  const char* const begin = leaf.bytes.data() + leaf.rows[row];
  const char* at = begin + kFixedBytes;
  const std::uint32_t rest_bytes = length(at), value_bytes = length(at);
  Parts parts;
  parts.rest = {at, rest_bytes};
  parts.value = {at + rest_bytes, value_bytes};
  parts.bytes = static_cast<std::size_t>(at - begin) + rest_bytes + value_bytes;
  return parts;
}

std::string_view PackedRows::rest(const Leaf& leaf, std::size_t row) {
  const char* at = leaf.bytes.data() + leaf.rows[row] + kFixedBytes;
  const std::uint32_t rest_bytes = length(at);
  length(at);
  return {at, rest_bytes};
}

bool PackedRows::before(std::string_view key, const std::unique_ptr<Leaf>& first) {
  const Leaf& leaf = *first;
  const int order = key.substr(0, leaf.prefix.size()).compare(leaf.prefix);
  return order < 0 || (order == 0 && key.substr(leaf.prefix.size()) < rest(leaf, 0));
}

std::size_t PackedRows::memory_of(const Leaf& leaf) { return sizeof leaf + sizeof(std::unique_ptr<Leaf>) + leaf.prefix.capacity() + leaf.rows.capacity() * sizeof leaf.rows[0] + leaf.bytes.capacity(); }

PackedRows::Position PackedRows::next(Position at) const {
  if (++at.row < leaves_[at.leaf]->rows.size()) return at;
  return {at.leaf + 1, 0};
}

PackedRows::Position PackedRows::lower_bound(std::string_view wanted) const {
  if (leaves_.empty()) return {};
  const auto after = std::upper_bound(leaves_.begin(), leaves_.end(), wanted, before);
  const std::size_t number = after == leaves_.begin() ? 0 : static_cast<std::size_t>(after - leaves_.begin()) - 1;
  const Leaf& leaf = *leaves_[number];
  const int order = wanted.substr(0, leaf.prefix.size()).compare(leaf.prefix);
  if (order < 0) return {number, 0};
  std::size_t low = 0, high = leaf.rows.size();
  if (order > 0) {
    low = high;
  } else {
    const std::string_view wanted_rest = wanted.substr(leaf.prefix.size());
    while (low < high) {
      const std::size_t middle = (low + high) / 2;
      if (rest(leaf, middle) < wanted_rest) low = middle + 1;
      else high = middle;
    }
  }
  if (low == leaf.rows.size()) return {number + 1, 0};
  return {number, low};
}

bool PackedRows::is(Position at, std::string_view key) const {
  if (at_end(at)) return false;
  const Leaf& leaf = *leaves_[at.leaf];
  return key.size() >= leaf.prefix.size() && key.substr(leaf.prefix.size()) == rest(leaf, at.row) && key.substr(0, leaf.prefix.size()) == leaf.prefix;
}

PackedRows::Head PackedRows::head(Position at) const {
  const char* row = leaves_[at.leaf]->bytes.data() + leaves_[at.leaf]->rows[at.row];
  Head head;
  std::memcpy(&head.log, row, sizeof head.log);
  head.flags = static_cast<std::uint8_t>(row[4]);
  row += kFixedBytes;
  length(row);
  head.value_bytes = length(row);
  return head;
}

void PackedRows::set(Position at, std::uint32_t log, std::uint8_t flags) {
  char* row = leaves_[at.leaf]->bytes.data() + leaves_[at.leaf]->rows[at.row];
  std::memcpy(row, &log, sizeof log);
  row[4] = static_cast<char>(flags);
}

std::string_view PackedRows::key(Position at) const {
  const Leaf& leaf = *leaves_[at.leaf];
  key_.assign(leaf.prefix).append(rest(leaf, at.row));
  return key_;
}

std::string_view PackedRows::value(Position at) const { return parts(*leaves_[at.leaf], at.row).value; }

void PackedRows::append(Leaf& leaf, std::uint32_t log, std::uint8_t flags, std::string_view rest, std::string_view value) {
  char start[kFixedBytes + 10];
  std::memcpy(start, &log, sizeof log);
  start[4] = static_cast<char>(flags);
  const char* end = put_length(put_length(start + kFixedBytes, rest.size()), value.size());
  const auto start_bytes = static_cast<std::size_t>(end - start);
  make_room(leaf.bytes, start_bytes + rest.size() + value.size());
  leaf.bytes.append(start, start_bytes).append(rest).append(value);
}

PackedRows::Position PackedRows::put(Position at, std::string_view wanted, std::string_view value) {
  RV_CHECK(wanted.size() <= UINT32_MAX && value.size() <= UINT32_MAX - kLeafBytes, "a row is smaller than 4 GiB");
  if (is(at, wanted)) {
    Leaf& leaf = *leaves_[at.leaf];
    const Parts old = parts(leaf, at.row);
    if (old.value.size() == value.size()) {
      std::copy(value.begin(), value.end(), leaf.bytes.data() + (old.value.data() - leaf.bytes.data()));  // an empty value may have no address
      return at;
    }
    memory_ -= memory_of(leaf);
    const Head head = this->head(at);
    const std::string rest(old.rest);  // the bytes may move
    leaf.garbage += old.bytes;
    const auto offset = static_cast<std::uint32_t>(leaf.bytes.size());
    append(leaf, head.log, head.flags, rest, value);
    leaf.rows[at.row] = offset;
    tidy(leaf);
    memory_ += memory_of(leaf);
    return at;
  }
  if (leaves_.empty()) memory_ += memory_of(*leaves_.emplace_back(std::make_unique<Leaf>()));
  if (at.row == 0 && at.leaf > 0) at = {at.leaf - 1, leaves_[at.leaf - 1]->rows.size()};  // at the end of the leaf before: keys that ascend fill leaves
  Leaf& leaf = *leaves_[at.leaf];
  memory_ -= memory_of(leaf);
  if (const std::size_t same = shared(wanted, leaf.prefix); same < leaf.prefix.size()) rewrite(leaf, leaf.prefix.substr(0, same));
  const auto offset = static_cast<std::uint32_t>(leaf.bytes.size());
  append(leaf, 0, 0, wanted.substr(leaf.prefix.size()), value);
  if (leaf.rows.size() == leaf.rows.capacity()) leaf.rows.reserve(leaf.rows.size() + leaf.rows.size() / 4 + 4);
  leaf.rows.insert(leaf.rows.begin() + static_cast<std::ptrdiff_t>(at.row), offset);
  memory_ += memory_of(leaf);
  if (!split(at.leaf)) return at;
  const std::size_t kept = leaves_[at.leaf]->rows.size();
  return at.row < kept ? at : Position{at.leaf + 1, at.row - kept};
}

PackedRows::Position PackedRows::erase(Position at) {
  Leaf& leaf = *leaves_[at.leaf];
  memory_ -= memory_of(leaf);
  leaf.garbage += parts(leaf, at.row).bytes;
  leaf.rows.erase(leaf.rows.begin() + static_cast<std::ptrdiff_t>(at.row));
  if (leaf.rows.empty()) {
    leaves_.erase(leaves_.begin() + static_cast<std::ptrdiff_t>(at.leaf));
    if (leaves_.empty()) leaves_.shrink_to_fit();
    return {at.leaf, 0};
  }
  tidy(leaf);
  memory_ += memory_of(leaf);
  return at.row < leaf.rows.size() ? at : Position{at.leaf + 1, 0};
}

// They ascend, so that the first and the last have in common what all have.
std::string PackedRows::common(const Leaf& leaf, std::size_t first, std::size_t last) {
  const std::string_view a = rest(leaf, first), b = rest(leaf, last);
  return leaf.prefix + std::string(a.substr(0, shared(a, b)));
}

void PackedRows::rewrite(Leaf& leaf, std::string prefix) {
  Leaf to;
  std::size_t bytes = 0;
  for (std::size_t row = 0; row < leaf.rows.size(); ++row) bytes += parts(leaf, row).bytes;
  if (prefix.size() < leaf.prefix.size()) bytes += leaf.rows.size() * (leaf.prefix.size() - prefix.size());
  to.bytes.reserve(bytes);
  to.rows.reserve(leaf.rows.size());
  const std::string_view less = prefix.size() < leaf.prefix.size() ? std::string_view(leaf.prefix).substr(prefix.size()) : std::string_view();
  const std::size_t more = prefix.size() > leaf.prefix.size() ? prefix.size() - leaf.prefix.size() : 0;
  std::string longer;
  for (std::size_t row = 0; row < leaf.rows.size(); ++row) {
    const Parts old = parts(leaf, row);
    std::uint32_t log = 0;
    std::memcpy(&log, leaf.bytes.data() + leaf.rows[row], sizeof log);
    to.rows.push_back(static_cast<std::uint32_t>(to.bytes.size()));
    const auto flags = static_cast<std::uint8_t>(leaf.bytes[leaf.rows[row] + 4]);
    if (less.empty()) append(to, log, flags, old.rest.substr(more), old.value);
    else append(to, log, flags, longer.assign(less).append(old.rest), old.value);
  }
  to.prefix = std::move(prefix);
  leaf = std::move(to);
}

void PackedRows::tidy(Leaf& leaf) {
  if (leaf.garbage * 2 >= leaf.bytes.size()) rewrite(leaf, common(leaf, 0, leaf.rows.size() - 1));
}

bool PackedRows::split(std::size_t number) {
  if (leaves_[number]->rows.size() <= kLeafRows && (leaves_[number]->bytes.size() <= kLeafBytes || leaves_[number]->rows.size() < 2)) return false;
  Leaf& left = *leaves_[number];
  memory_ -= memory_of(left);
  auto made = std::make_unique<Leaf>();
  Leaf& right = *made;
  right.prefix = left.prefix;
  const std::size_t middle = left.rows.size() / 2;
  for (std::size_t row = middle; row < left.rows.size(); ++row) {
    right.rows.push_back(static_cast<std::uint32_t>(right.bytes.size()));
    right.bytes.append(left.bytes, left.rows[row], parts(left, row).bytes);
  }
  left.rows.resize(middle);
  rewrite(left, common(left, 0, left.rows.size() - 1));
  rewrite(right, common(right, 0, right.rows.size() - 1));
  memory_ += memory_of(left) + memory_of(right);
  leaves_.insert(leaves_.begin() + static_cast<std::ptrdiff_t>(number) + 1, std::move(made));
  return true;
}

}  // namespace rivulet::pipeline
