// time_weighted_avg: the mean over time of a value that holds until the next one, by event time (of equal times the last to arrive holds).
//
// The last value holds until the window's end, in every emit mode: so a closed window says what its last revision said. Records may
// come out of order: the latest kMaxPoints values are kept; what lies before them is one area. A record from before them is left out.
#include <algorithm>
#include <cmath>

#include "agent/codec/json.h"
#include "agent/pipeline/aggregate/accumulator.h"

namespace rivulet::pipeline::aggregate {
namespace {

constexpr std::size_t kMaxPoints = 1024;

struct Point {
  Timestamp timestamp_ms;
  std::uint64_t arrival;
  double value;
  bool operator<(const Point& other) const { return timestamp_ms != other.timestamp_ms ? timestamp_ms < other.timestamp_ms : arrival < other.arrival; }
};

double between(Timestamp from, Timestamp to) { return static_cast<double>(to) - static_cast<double>(from); }

class TimelinePart final : public Part {
 public:
  std::size_t size_bytes() const override { return sizeof *this + points.capacity() * sizeof(Point); }

  std::uint64_t add(const Point& point) {
    if (folded && point.timestamp_ms < points.front().timestamp_ms) {
      if (point.timestamp_ms >= start_ms) return 1;
      area += point.value * between(point.timestamp_ms, start_ms);  // it holds until all that is folded
      start_ms = point.timestamp_ms;
      return 0;
    }
    points.insert(std::upper_bound(points.begin(), points.end(), point), point);
    if (points.size() > kMaxPoints) fold(kMaxPoints / 2);
    return 0;
  }
  std::uint64_t merge(const TimelinePart& other) {
    if (folded && (!other.folded || other.start_ms < start_ms)) return precede(other);
    if (other.folded) {
      TimelinePart later = other;
      const std::uint64_t left_out = later.precede(*this);
      *this = std::move(later);
      return left_out;
    }
    for (const Point& point : other.points) add(point);
    return 0;
  }
  double mean(const Window* window) const {
    const Point& last = points.back();
    double sum = area;
    for (std::size_t i = 0; i + 1 < points.size(); ++i) sum += points[i].value * between(points[i].timestamp_ms, points[i + 1].timestamp_ms);
    const Timestamp end = window == nullptr ? last.timestamp_ms : std::max(window->end_ms, last.timestamp_ms);
    sum += last.value * between(last.timestamp_ms, end);
    const double length = between(folded ? start_ms : points.front().timestamp_ms, end);
    return length > 0 ? sum / length : last.value;
  }

  bool folded = false;
  Timestamp start_ms = 0;  // of what is folded; it ends where the points begin
  double area = 0;         // value times milliseconds
  std::vector<Point> points;

 private:
  void fold(std::size_t count) {
    for (std::size_t i = 0; i < count; ++i) area += points[i].value * between(points[i].timestamp_ms, points[i + 1].timestamp_ms);
    if (!folded) start_ms = points.front().timestamp_ms;
    folded = true;
    points.erase(points.begin(), points.begin() + static_cast<std::ptrdiff_t>(count));
  }
  // What came before this one, which is folded: its points up to the start make the area longer.
  std::uint64_t precede(const TimelinePart& earlier) {
    std::uint64_t left_out = 0;
    std::vector<Point> before;
    for (const Point& point : earlier.points) {
      if (point.timestamp_ms < start_ms) before.push_back(point);
      else left_out += add(point);
    }
    if (earlier.folded && before.empty()) return left_out + 1;  // the areas overlap: this one's counts
    if (before.empty()) return left_out;
    for (std::size_t i = 0; i < before.size(); ++i)
      area += before[i].value * between(before[i].timestamp_ms, i + 1 < before.size() ? before[i + 1].timestamp_ms : start_ms);
    area += earlier.area;
    start_ms = earlier.folded ? earlier.start_ms : before.front().timestamp_ms;
    return left_out;
  }
};

class TimeWeighted final : public Accumulator {
 public:
  bool has_part() const override { return true; }
  unsigned needs() const override { return kNumber; }
  std::uint64_t add(const Slot& slot, const Value& value, const Moment& at) const override {
    return part_of<TimelinePart>(slot).add({at.timestamp_ms, at.arrival, value.number.as_double()});
  }
  std::uint64_t merge(const Slot& into, const ConstSlot& from) const override {
    const auto* other = part_of<TimelinePart>(from);
    return other == nullptr || other->points.empty() ? 0 : part_of<TimelinePart>(into).merge(*other);
  }
  void encode(const ConstSlot& slot, std::string& to) const override {
    const auto* line = part_of<TimelinePart>(slot);
    put_varint(to, line == nullptr ? 0 : line->points.size());
    if (line == nullptr || line->points.empty()) return;
    put_u8(to, line->folded ? 1 : 0);
    if (line->folded) {
      put_zigzag(to, line->start_ms);
      put_u64_be(to, Number::of(line->area).bits());
    }
    Point before{0, 0, 0};
    for (const Point& point : line->points) {
      put_zigzag(to, static_cast<std::int64_t>(static_cast<std::uint64_t>(point.timestamp_ms) - static_cast<std::uint64_t>(before.timestamp_ms)));
      put_zigzag(to, static_cast<std::int64_t>(point.arrival - before.arrival));
      put_u64_be(to, Number::of(point.value).bits());
      before = point;
    }
  }
  bool decode(const Slot& slot, Reader& from) const override {
    const std::uint64_t size = from.varint();
    if (size == 0 || size > kMaxPoints) return size == 0;
    auto& line = part_of<TimelinePart>(slot);
    const std::uint8_t folded = from.u8();
    line.folded = folded == 1;
    if (line.folded) {
      line.start_ms = from.zigzag();
      line.area = Number::of_bits(true, from.u64_be()).floating;
    }
    Point point{0, 0, 0};
    for (std::uint64_t i = 0; i < size; ++i) {
      const Point before = point;
      point.timestamp_ms = static_cast<Timestamp>(static_cast<std::uint64_t>(before.timestamp_ms) + static_cast<std::uint64_t>(from.zigzag()));
      point.arrival = before.arrival + static_cast<std::uint64_t>(from.zigzag());
      point.value = Number::of_bits(true, from.u64_be()).floating;
      if (!from.ok() || !(std::fabs(point.value) <= kMaxNumber) || (i > 0 && point < before)) return false;
      line.points.push_back(point);
    }
    const double most = line.folded ? 1.01 * kMaxNumber * between(line.start_ms, line.points.front().timestamp_ms) : 0;
    return folded <= 1 && std::fabs(line.area) <= most;  // so that no area of what was read is infinite
  }
  void append(const ConstSlot& slot, Ask, double, const Window* window, std::string& to) const override {
    const auto* line = part_of<TimelinePart>(slot);
    if (line == nullptr || line->points.empty()) to += "null";
    else codec::append_json_double(to, line->mean(window));
  }
};

}  // namespace

std::unique_ptr<Accumulator> make_time_weighted() { return std::make_unique<TimeWeighted>(); }

}  // namespace rivulet::pipeline::aggregate
