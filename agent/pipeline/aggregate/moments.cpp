// stddev, variance and their population forms: mean and sum of squared deviations, value by value (Welford 1962), merged as in Chan,
// Golub, LeVeque 1979, "Updating Formulae and a Pairwise Algorithm for Computing Sample Variances".
#include <cmath>

#include "agent/codec/json.h"
#include "agent/pipeline/aggregate/accumulator.h"

namespace rivulet::pipeline::aggregate {
namespace {

struct MomentWords {
  std::uint64_t count = 0;
  double mean = 0, squares = 0;
};

class Moments final : public Accumulator {
 public:
  std::size_t words() const override { return words_of<MomentWords>(); }
  unsigned needs() const override { return kNumber | kSquare; }
  std::uint64_t add(const Slot& slot, const Value& value, const Moment&) const override {
    auto held = get<MomentWords>(slot.words);
    const double number = value.number.as_double(), before = number - held.mean;
    held.mean += before / static_cast<double>(++held.count);
    held.squares += before * (number - held.mean);
    put(slot.words, held);
    return 0;
  }
  std::uint64_t merge(const Slot& into, const ConstSlot& from) const override {
    auto held = get<MomentWords>(into.words);
    const auto other = get<MomentWords>(from.words);
    if (other.count == 0) return 0;
    const double a = static_cast<double>(held.count), b = static_cast<double>(other.count), apart = other.mean - held.mean;
    held.count += other.count;
    held.mean += apart * (b / (a + b));
    held.squares += other.squares + apart * apart * (a * (b / (a + b)));
    put(into.words, held);
    return 0;
  }
  void encode(const ConstSlot& slot, std::string& to) const override {
    const auto held = get<MomentWords>(slot.words);
    put_varint(to, held.count);
    if (held.count == 0) return;
    put_u64_be(to, Number::of(held.mean).bits());
    put_u64_be(to, Number::of(held.squares).bits());
  }
  bool decode(const Slot& slot, Reader& from) const override {
    MomentWords held;
    held.count = from.varint();
    if (held.count > 0) {
      held.mean = Number::of_bits(true, from.u64_be()).floating;
      held.squares = Number::of_bits(true, from.u64_be()).floating;
    }
    put(slot.words, held);
    const double most = 5 * kMaxSquared * kMaxSquared * static_cast<double>(held.count);  // of values apart by twice the greatest, and rounding
    return held.count >> 62 == 0 && std::fabs(held.mean) <= 1.01 * kMaxSquared && held.squares >= 0 && held.squares <= most;
  }
  void append(const ConstSlot& slot, Ask ask, double, const Window*, std::string& to) const override {
    const auto held = get<MomentWords>(slot.words);
    const bool of_all = ask == Ask::deviation_of_all || ask == Ask::variance_of_all;
    if (held.count < (of_all ? 1 : 2)) {  // a sample of one says nothing of the spread
      to += "null";
      return;
    }
    const double variance = held.squares / static_cast<double>(held.count - (of_all ? 0 : 1));
    codec::append_json_double(to, ask == Ask::deviation || ask == Ask::deviation_of_all ? std::sqrt(variance) : variance);
  }
};

}  // namespace

std::unique_ptr<Accumulator> make_moments() { return std::make_unique<Moments>(); }

}  // namespace rivulet::pipeline::aggregate
