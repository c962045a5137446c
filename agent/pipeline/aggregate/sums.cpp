// count, sum, avg, rate: what can be added up, and taken back.
#include <cmath>

#include "agent/base/check.h"
#include "agent/codec/json.h"
#include "agent/pipeline/aggregate/accumulator.h"
#include "agent/pipeline/aggregate/wide.h"

namespace rivulet::pipeline::aggregate {

void Accumulator::subtract(const Slot&, const Value&) const { RV_CHECK(false, "only what is subtractable is subtracted"); }

namespace {

void append_rate(double total, const Window* window, std::string& to) {
  const double seconds = window == nullptr ? 0 : (static_cast<double>(window->end_ms) - static_cast<double>(window->start_ms)) / 1000;
  if (seconds > 0) codec::append_json_double(to, total / seconds);
  else to += "null";  // a session of one instant
}

class Count final : public Accumulator {
 public:
  explicit Count(bool nulls_too) : nulls_too_(nulls_too) {}
  std::size_t words() const override { return 1; }
  bool takes_nulls() const override { return nulls_too_; }
  bool subtractable() const override { return true; }
  std::uint64_t add(const Slot& slot, const Value&, const Moment&) const override {
    ++*slot.words;
    return 0;
  }
  std::uint64_t merge(const Slot& into, const ConstSlot& from) const override {
    *into.words += *from.words;
    return 0;
  }
  void subtract(const Slot& slot, const Value&) const override {
    if (*slot.words > 0) --*slot.words;
  }
  void encode(const ConstSlot& slot, std::string& to) const override { put_varint(to, *slot.words); }
  bool decode(const Slot& slot, Reader& from) const override {
    *slot.words = from.varint();
    return *slot.words >> 62 == 0;
  }
  void append(const ConstSlot& slot, Ask ask, double, const Window* window, std::string& to) const override {
    if (ask == Ask::rate) append_rate(static_cast<double>(*slot.words), window, to);
    else append_number(to, Number::of(static_cast<std::int64_t>(*slot.words)));
  }

 private:
  const bool nulls_too_;
};

// Integers and reals apart: integers stay exact in whatever order they come. Reals by Neumaier's compensated summation (Neumaier 1974,
// "Rundungsfehleranalyse einiger Verfahren zur Summation endlicher Summen").
struct SumWords {
  Wide integers;
  double sum = 0, lost = 0;
  std::uint64_t count = 0, reals = 0;

  void add_real(double value) {
    const double total = sum + value;
    lost += std::fabs(sum) >= std::fabs(value) ? (sum - total) + value : (value - total) + sum;
    sum = total;
  }
  double as_double() const { return reals == 0 ? integers.as_double() : integers.as_double() + (sum + lost); }
};

class Sum final : public Accumulator {
 public:
  std::size_t words() const override { return words_of<SumWords>(); }
  unsigned needs() const override { return kNumber; }
  bool subtractable() const override { return true; }

  std::uint64_t add(const Slot& slot, const Value& value, const Moment&) const override {
    auto sum = get<SumWords>(slot.words);
    ++sum.count;
    if (value.number.real) {
      ++sum.reals;
      sum.add_real(value.number.floating);
    } else {
      sum.integers.add(value.number.integer);
    }
    put(slot.words, sum);
    return 0;
  }
  void subtract(const Slot& slot, const Value& value) const override {
    auto sum = get<SumWords>(slot.words);
    if (sum.count > 0) --sum.count;
    if (!value.number.real) {
      sum.integers.subtract(value.number.integer);
    } else {
      if (sum.reals > 0) --sum.reals;
      if (sum.reals == 0) sum.sum = sum.lost = 0;  // nothing is nothing, without what rounding left
      else sum.add_real(-value.number.floating);
    }
    put(slot.words, sum);
  }
  std::uint64_t merge(const Slot& into, const ConstSlot& from) const override {
    auto sum = get<SumWords>(into.words);
    const auto other = get<SumWords>(from.words);
    sum.integers.add(other.integers);
    sum.add_real(other.sum);
    sum.lost += other.lost;
    sum.count += other.count;
    sum.reals += other.reals;
    put(into.words, sum);
    return 0;
  }
  // Counts first: most sums have only integers or only reals.
  void encode(const ConstSlot& slot, std::string& to) const override {
    const auto sum = get<SumWords>(slot.words);
    put_varint(to, sum.count);
    if (sum.count == 0) return;
    put_varint(to, sum.reals);
    if (sum.reals != sum.count) {
      put_u8(to, sum.integers.fits() ? 0 : 1);
      if (sum.integers.fits()) {
        put_zigzag(to, sum.integers.narrow());
      } else {
        put_zigzag(to, sum.integers.high);
        put_u64_be(to, sum.integers.low);
      }
    }
    if (sum.reals == 0) return;
    put_u64_be(to, Number::of(sum.sum).bits());
    put_u64_be(to, Number::of(sum.lost).bits());
  }
  bool decode(const Slot& slot, Reader& from) const override {
    SumWords sum;
    sum.count = from.varint();
    if (sum.count > 0) sum.reals = from.varint();
    if (sum.reals != sum.count) {
      if (const std::uint8_t wide = from.u8(); wide == 0) {
        sum.integers = Wide::of(from.zigzag());
      } else {
        sum.integers.high = from.zigzag();
        sum.integers.low = from.u64_be();
        if (wide != 1 || sum.integers.fits()) return false;
      }
    }
    if (sum.reals > 0) {
      sum.sum = Number::of_bits(true, from.u64_be()).floating;
      sum.lost = Number::of_bits(true, from.u64_be()).floating;
    }
    put(slot.words, sum);
    const double most = kMaxNumber * 1.01 * static_cast<double>(sum.reals);  // so that no sum of what was read is infinite
    return sum.count >> 62 == 0 && sum.reals <= sum.count && std::fabs(sum.sum) <= most && std::fabs(sum.lost) <= most;
  }
  void append(const ConstSlot& slot, Ask ask, double, const Window* window, std::string& to) const override {
    const auto sum = get<SumWords>(slot.words);
    if (sum.count == 0) to += "null";
    else if (ask == Ask::mean) codec::append_json_double(to, sum.as_double() / static_cast<double>(sum.count));
    else if (ask == Ask::rate) append_rate(sum.as_double(), window, to);
    else if (sum.reals == 0) sum.integers.append(to);
    else codec::append_json_double(to, sum.as_double());
  }
};

}  // namespace

std::unique_ptr<Accumulator> make_count(bool nulls_too) { return std::make_unique<Count>(nulls_too); }
std::unique_ptr<Accumulator> make_sum() { return std::make_unique<Sum>(); }

}  // namespace rivulet::pipeline::aggregate
