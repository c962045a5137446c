// topk, histogram.
#include <algorithm>
#include <functional>

#include "agent/pipeline/aggregate/accumulator.h"

namespace rivulet::pipeline::aggregate {
namespace {

// Descending; of 1 and 1.0 the integer first, so that no order of arrival shows.
bool before(const Number& a, const Number& b) {
  const int order = compare(a, b);
  return order != 0 ? order > 0 : !a.real && b.real;
}

class TopPart final : public Part {
 public:
  std::size_t size_bytes() const override { return sizeof *this + highest.capacity() * sizeof(Number); }
  std::vector<Number> highest;  // descending
};

class TopK final : public Accumulator {
 public:
  explicit TopK(std::size_t count) : count_(count) {}
  bool has_part() const override { return true; }
  unsigned needs() const override { return kNumber; }
  std::uint64_t add(const Slot& slot, const Value& value, const Moment&) const override {
    offer(part_of<TopPart>(slot).highest, value.number);
    return 0;
  }
  std::uint64_t merge(const Slot& into, const ConstSlot& from) const override {
    if (const auto* other = part_of<TopPart>(from); other != nullptr)
      for (const Number& number : other->highest) offer(part_of<TopPart>(into).highest, number);
    return 0;
  }
  void encode(const ConstSlot& slot, std::string& to) const override {
    const auto* part = part_of<TopPart>(slot);
    put_varint(to, part == nullptr ? 0 : part->highest.size());
    if (part == nullptr) return;
    for (const Number& number : part->highest) put_number(to, number);
  }
  bool decode(const Slot& slot, Reader& from) const override {
    const std::uint64_t size = from.varint();
    if (size > count_) return false;
    for (std::uint64_t i = 0; i < size; ++i) {
      Number number;
      if (!get_number(from, number)) return false;
      offer(part_of<TopPart>(slot).highest, number);
    }
    return true;
  }
  void append(const ConstSlot& slot, Ask, double, const Window*, std::string& to) const override {
    const auto* part = part_of<TopPart>(slot);
    if (part == nullptr) {
      to += "null";
      return;
    }
    char separator = '[';
    for (const Number& number : part->highest) {
      to += separator;
      append_number(to, number);
      separator = ',';
    }
    to += ']';
  }

 private:
  void offer(std::vector<Number>& highest, const Number& number) const {
    if (highest.size() == count_ && !before(number, highest.back())) return;
    if (highest.size() == count_) highest.pop_back();
    highest.insert(std::upper_bound(highest.begin(), highest.end(), number, before), number);
  }
  const std::size_t count_;
};

class HistogramPart final : public Part {
 public:
  std::size_t size_bytes() const override { return sizeof *this + counts.capacity() * sizeof(std::uint64_t); }
  std::vector<std::uint64_t> counts;  // one more than bounds
};

class Histogram final : public Accumulator {
 public:
  explicit Histogram(std::vector<double> bounds) : bounds_(std::move(bounds)) {}
  bool has_part() const override { return true; }
  unsigned needs() const override { return kNumber; }
  bool subtractable() const override { return true; }
  std::uint64_t add(const Slot& slot, const Value& value, const Moment&) const override {
    ++counts(slot)[bucket(value.number)];
    return 0;
  }
  void subtract(const Slot& slot, const Value& value) const override {
    std::uint64_t& count = counts(slot)[bucket(value.number)];
    if (count > 0) --count;
  }
  std::uint64_t merge(const Slot& into, const ConstSlot& from) const override {
    if (const auto* other = part_of<HistogramPart>(from); other != nullptr)
      std::transform(other->counts.begin(), other->counts.end(), counts(into).begin(), counts(into).begin(), std::plus<>());
    return 0;
  }
  void encode(const ConstSlot& slot, std::string& to) const override {
    const auto* part = part_of<HistogramPart>(slot);
    put_u8(to, part == nullptr ? 0 : 1);
    if (part == nullptr) return;
    for (const std::uint64_t count : part->counts) put_varint(to, count);
  }
  bool decode(const Slot& slot, Reader& from) const override {
    const std::uint8_t seen = from.u8();
    if (seen != 1) return seen == 0;
    for (std::uint64_t& count : counts(slot)) {
      count = from.varint();
      if (count >> 62 != 0) return false;
    }
    return true;
  }
  void append(const ConstSlot& slot, Ask, double, const Window*, std::string& to) const override {
    const auto* part = part_of<HistogramPart>(slot);
    if (part == nullptr || std::all_of(part->counts.begin(), part->counts.end(), [](std::uint64_t count) { return count == 0; })) {
      to += "null";
      return;
    }
    char separator = '[';
    for (const std::uint64_t count : part->counts) {
      to += separator + std::to_string(count);
      separator = ',';
    }
    to += ']';
  }

 private:
  std::vector<std::uint64_t>& counts(const Slot& slot) const {
    auto& part = part_of<HistogramPart>(slot);
    part.counts.resize(bounds_.size() + 1);
    return part.counts;
  }
  std::size_t bucket(const Number& number) const {
    const auto above = std::upper_bound(bounds_.begin(), bounds_.end(), number, [](const Number& value, double bound) { return compare(value, Number::of(bound)) < 0; });
    return static_cast<std::size_t>(above - bounds_.begin());
  }
  const std::vector<double> bounds_;
};

}  // namespace

std::unique_ptr<Accumulator> make_topk(std::size_t count) { return std::make_unique<TopK>(count); }
std::unique_ptr<Accumulator> make_histogram(std::vector<double> bounds) { return std::make_unique<Histogram>(std::move(bounds)); }

}  // namespace rivulet::pipeline::aggregate
