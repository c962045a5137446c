// collect, collect_set: values in their order of arrival, as many as fit.
//
// What fits is a matter of the values alone, not of how they came together: the longest beginning, by arrival, within the bounds. `cutoff`
// is the arrival of the first that did not fit; what arrived after it has no place in any state that this one becomes part of.
#include <xxhash.h>

#include <algorithm>

#include "agent/pipeline/aggregate/accumulator.h"
#include "agent/pipeline/aggregate/aggregates.h"

namespace rivulet::pipeline::aggregate {
namespace {

constexpr std::size_t kMaxElements = 1000;
constexpr std::size_t kMaxListBytes = 64 * 1024;  // of JSON
constexpr std::uint64_t kNoCutoff = UINT64_MAX;

class ListPart final : public Part {
 public:
  struct Element {
    std::uint64_t arrival, hash;  // hash: of its identity, in a set
    std::uint32_t end;            // in text; it begins where the one before ends
  };
  std::size_t size_bytes() const override { return sizeof *this + text.capacity() + elements.capacity() * sizeof(Element); }
  std::string_view token(std::size_t i) const {
    const std::size_t begin = i == 0 ? 0 : elements[i - 1].end;
    return std::string_view(text).substr(begin, elements[i].end - begin);
  }
  // Whether it fitted. In order of arrival only.
  bool push(std::uint64_t arrival, std::uint64_t hash, std::string_view token) {
    if (arrival >= cutoff) return false;
    if (elements.size() == kMaxElements || text.size() + token.size() > kMaxListBytes) {
      cutoff = arrival;
      return false;
    }
    text += token;
    elements.push_back({arrival, hash, static_cast<std::uint32_t>(text.size())});
    return true;
  }
  bool contains(std::uint64_t hash, std::string_view token) const {
    std::string one, other;
    for (std::size_t i = 0; i < elements.size(); ++i)
      if (elements[i].hash == hash && identity_of(this->token(i), one) == identity_of(token, other)) return true;
    return false;
  }
  std::string text;
  std::vector<Element> elements;
  std::uint64_t cutoff = kNoCutoff;
};

class List final : public Accumulator {
 public:
  explicit List(bool set) : set_(set) {}
  bool has_part() const override { return true; }
  unsigned needs() const override { return kToken; }
  bool subtractable() const override { return !set_; }

  std::uint64_t add(const Slot& slot, const Value& value, const Moment& at) const override {
    ListPart one;
    one.push(at.arrival, hash_of(value.token), value.token);
    return join(part_of<ListPart>(slot), one);
  }
  // One element with the same JSON goes, the first by arrival. What found no place before is not there to take its place.
  void subtract(const Slot& slot, const Value& value) const override {
    auto& list = part_of<ListPart>(slot);
    for (std::size_t i = 0; i < list.elements.size(); ++i) {
      if (list.token(i) != value.token) continue;
      list.text.erase(list.elements[i].end - value.token.size(), value.token.size());
      list.elements.erase(list.elements.begin() + static_cast<std::ptrdiff_t>(i));
      for (; i < list.elements.size(); ++i) list.elements[i].end -= static_cast<std::uint32_t>(value.token.size());
      break;
    }
    list.cutoff = kNoCutoff;
  }
  std::uint64_t merge(const Slot& into, const ConstSlot& from) const override {
    const auto* other = part_of<ListPart>(from);
    return other == nullptr ? 0 : join(part_of<ListPart>(into), *other);
  }
  void encode(const ConstSlot& slot, std::string& to) const override {
    const auto* list = part_of<ListPart>(slot);
    put_varint(to, list == nullptr ? 0 : list->elements.size());
    if (list == nullptr || list->elements.empty()) return;
    put_varint(to, list->cutoff + 1);  // none: 0
    std::uint64_t before = 0;
    for (std::size_t i = 0; i < list->elements.size(); ++i) {
      put_varint(to, list->elements[i].arrival - before);
      put_sized(to, list->token(i));
      before = list->elements[i].arrival;
    }
  }
  bool decode(const Slot& slot, Reader& from) const override {
    const std::uint64_t count = from.varint();
    if (count == 0 || count > kMaxElements) return count == 0;
    auto& list = part_of<ListPart>(slot);
    const std::uint64_t cutoff = from.varint() - 1;
    std::uint64_t arrival = 0;
    for (std::uint64_t i = 0; i < count; ++i) {
      const std::uint64_t gap = from.varint();
      const std::string_view token = from.sized();
      if (!from.ok() || token.empty() || arrival + gap < arrival || !list.push(arrival += gap, hash_of(token), token)) return false;
    }
    list.cutoff = cutoff;
    return arrival < cutoff;
  }
  void append(const ConstSlot& slot, Ask, double, const Window*, std::string& to) const override {
    const auto* list = part_of<ListPart>(slot);
    if (list == nullptr || list->elements.empty()) {
      to += "null";
      return;
    }
    to += '[';
    for (std::size_t i = 0; i < list->elements.size(); ++i) {
      if (i > 0) to += ',';
      to += list->token(i);
    }
    to += ']';
  }

 private:
  std::uint64_t hash_of(std::string_view token) const {
    if (!set_) return 0;
    std::string buffer;
    const std::string_view identity = identity_of(token, buffer);
    return XXH3_64bits(identity.data(), identity.size());
  }
  std::uint64_t put(ListPart& into, const ListPart& from, std::size_t at) const {
    if (set_ && into.contains(from.elements[at].hash, from.token(at))) return 0;
    return into.push(from.elements[at].arrival, from.elements[at].hash, from.token(at)) ? 0 : 1;
  }
  // Both by arrival. Answers how many found no place.
  std::uint64_t join(ListPart& into, const ListPart& other) const {
    const std::uint64_t cutoff = std::min(into.cutoff, other.cutoff);
    std::uint64_t left_out = 0;
    if (into.elements.empty() || other.elements.empty() || into.elements.back().arrival <= other.elements.front().arrival) {  // the rule
      into.cutoff = cutoff;
      for (std::size_t i = 0; i < other.elements.size(); ++i) left_out += put(into, other, i);
      return left_out;
    }
    ListPart joined;
    joined.cutoff = cutoff;
    for (std::size_t i = 0, j = 0; i < into.elements.size() || j < other.elements.size();) {
      const bool left = j == other.elements.size() || (i < into.elements.size() && into.elements[i].arrival <= other.elements[j].arrival);
      left_out += left ? put(joined, into, i++) : put(joined, other, j++);
    }
    into = std::move(joined);
    return left_out;
  }
  const bool set_;
};

}  // namespace

std::unique_ptr<Accumulator> make_list(bool set) { return std::make_unique<List>(set); }

}  // namespace rivulet::pipeline::aggregate
