// percentile, median: DDSketch (Masson, Rim, Lee 2019, "DDSketch: A Fast and Fully-Mergeable Quantile Sketch with Relative-Error
// Guarantees"): counts in buckets whose bounds grow by kGamma, so that a bucket's value is within kError of everything in it.
//
// Each sign has at most kMaxBuckets neighbouring buckets, a range of 6e17 : 1; what lies nearer to zero counts in the last of them. Which
// that is depends on the values alone, so merging in any order gives the same sketch. The least and the greatest value are exact.
#include <algorithm>
#include <cmath>

#include "agent/codec/json.h"
#include "agent/pipeline/aggregate/accumulator.h"

namespace rivulet::pipeline::aggregate {
namespace {

constexpr double kError = 0.01;
constexpr double kGamma = (1 + kError) / (1 - kError);
constexpr std::int32_t kMaxBuckets = 2048;
constexpr std::int32_t kMaxIndex = 40'000;  // of any double: ln(5e-324) / ln(kGamma) is -37,200

double log_gamma() {
  static const double value = std::log(kGamma);
  return value;
}
std::int32_t index_of(double magnitude) { return static_cast<std::int32_t>(std::ceil(std::log(magnitude) / log_gamma())); }
double value_of(std::int32_t index) { return 2 / (kGamma + 1) * std::exp(index * log_gamma()); }

struct Bucket {
  std::int32_t index;
  std::uint64_t count;
};

class Buckets {
 public:
  void add(std::int32_t index, std::uint64_t count) {
    if (!buckets_.empty()) index = std::max(index, buckets_.back().index - kMaxBuckets + 1);
    const auto at = std::lower_bound(buckets_.begin(), buckets_.end(), index, [](const Bucket& bucket, std::int32_t wanted) { return bucket.index < wanted; });
    if (at != buckets_.end() && at->index == index) at->count += count;
    else buckets_.insert(at, {index, count});
    const std::int32_t lowest = buckets_.back().index - kMaxBuckets + 1;
    if (buckets_.front().index >= lowest) return;
    auto kept = std::find_if(buckets_.begin(), buckets_.end(), [&](const Bucket& bucket) { return bucket.index >= lowest; });
    std::uint64_t below = 0;
    for (auto one = buckets_.begin(); one != kept; ++one) below += one->count;
    if (kept->index == lowest) kept->count += below;
    else *--kept = {lowest, below};
    buckets_.erase(buckets_.begin(), kept);
  }
  const std::vector<Bucket>& all() const { return buckets_; }
  std::size_t size_bytes() const { return buckets_.capacity() * sizeof(Bucket); }

 private:
  std::vector<Bucket> buckets_;  // ascending
};

class SketchPart final : public Part {
 public:
  std::size_t size_bytes() const override { return sizeof *this + negative.size_bytes() + positive.size_bytes(); }
  // The value of this rank, from 0.
  double ranked(double rank) const {
    double passed = 0;
    const auto in_this = [&](std::uint64_t bucket) { return (passed += static_cast<double>(bucket)) > rank; };
    for (auto one = negative.all().rbegin(); one != negative.all().rend(); ++one)
      if (in_this(one->count)) return -value_of(one->index);
    if (in_this(zeros)) return 0;
    for (const Bucket& one : positive.all())
      if (in_this(one.count)) return value_of(one.index);
    return highest;
  }
  double at(double rank) const {
    if (rank <= 0) return lowest;
    if (rank >= static_cast<double>(count - 1)) return highest;
    return std::clamp(ranked(rank), lowest, highest);
  }
  void widen(double value) {
    lowest = count == 0 ? value : std::min(lowest, value);
    highest = count == 0 ? value : std::max(highest, value);
  }
  std::uint64_t count = 0, zeros = 0;
  double lowest = 0, highest = 0;
  Buckets negative, positive;
};

class Quantiles final : public Accumulator {
 public:
  bool has_part() const override { return true; }
  unsigned needs() const override { return kNumber; }
  std::uint64_t add(const Slot& slot, const Value& value, const Moment&) const override {
    auto& sketch = part_of<SketchPart>(slot);
    const double number = value.number.as_double();
    sketch.widen(number);
    ++sketch.count;
    if (number == 0) ++sketch.zeros;
    else (number < 0 ? sketch.negative : sketch.positive).add(index_of(std::fabs(number)), 1);
    return 0;
  }
  std::uint64_t merge(const Slot& into, const ConstSlot& from) const override {
    const auto* other = part_of<SketchPart>(from);
    if (other == nullptr || other->count == 0) return 0;
    auto& sketch = part_of<SketchPart>(into);
    sketch.widen(other->lowest);
    sketch.count += other->count;
    sketch.widen(other->highest);
    sketch.zeros += other->zeros;
    for (const Bucket& bucket : other->negative.all()) sketch.negative.add(bucket.index, bucket.count);
    for (const Bucket& bucket : other->positive.all()) sketch.positive.add(bucket.index, bucket.count);
    return 0;
  }
  void encode(const ConstSlot& slot, std::string& to) const override {
    const auto* sketch = part_of<SketchPart>(slot);
    put_varint(to, sketch == nullptr ? 0 : sketch->count);
    if (sketch == nullptr || sketch->count == 0) return;
    put_varint(to, sketch->zeros);
    put_u64_be(to, Number::of(sketch->lowest).bits());
    put_u64_be(to, Number::of(sketch->highest).bits());
    for (const Buckets* buckets : {&sketch->negative, &sketch->positive}) {
      put_varint(to, buckets->all().size());
      std::int32_t before = 0;
      for (const Bucket& bucket : buckets->all()) {
        put_zigzag(to, bucket.index - before);
        put_varint(to, bucket.count);
        before = bucket.index;
      }
    }
  }
  bool decode(const Slot& slot, Reader& from) const override {
    const std::uint64_t count = from.varint();
    if (count == 0 || count >> 62 != 0) return count == 0;
    auto& sketch = part_of<SketchPart>(slot);
    sketch.count = count;
    sketch.zeros = from.varint();
    sketch.lowest = Number::of_bits(true, from.u64_be()).floating;
    sketch.highest = Number::of_bits(true, from.u64_be()).floating;
    if (!(std::fabs(sketch.lowest) <= kMaxNumber && std::fabs(sketch.highest) <= kMaxNumber && sketch.lowest <= sketch.highest)) return false;
    if (sketch.zeros > count) return false;
    std::uint64_t seen = sketch.zeros;
    return decode(sketch.negative, from, count, seen) && decode(sketch.positive, from, count, seen) && seen == count;
  }
  void append(const ConstSlot& slot, Ask, double percent, const Window*, std::string& to) const override {
    const auto* sketch = part_of<SketchPart>(slot);
    if (sketch == nullptr || sketch->count == 0) {
      to += "null";
      return;
    }
    // Between two ranks by their distance, as SQLite's percentile() and SQL's percentile_cont().
    const double rank = percent / 100 * static_cast<double>(sketch->count - 1), whole = std::floor(rank);
    const double low = sketch->at(whole), high = rank > whole ? sketch->at(whole + 1) : low;
    codec::append_json_double(to, low + (high - low) * (rank - whole));
  }

 private:
  static bool decode(Buckets& buckets, Reader& from, std::uint64_t total, std::uint64_t& seen) {
    const std::uint64_t size = from.varint();
    if (size > kMaxBuckets) return false;
    std::int64_t index = 0, first = 0;
    for (std::uint64_t i = 0; i < size; ++i) {
      const std::int64_t step = from.zigzag();
      const std::uint64_t count = from.varint();
      if (step < -kMaxIndex || step > kMaxIndex || (i > 0 && step <= 0) || count == 0 || count > total - seen) return false;
      index += step;
      if (i == 0) first = index;
      if (index < -kMaxIndex || index > kMaxIndex || index - first >= kMaxBuckets) return false;
      seen += count;
      buckets.add(static_cast<std::int32_t>(index), count);
    }
    return true;
  }
};

}  // namespace

std::unique_ptr<Accumulator> make_quantiles() { return std::make_unique<Quantiles>(); }

}  // namespace rivulet::pipeline::aggregate
