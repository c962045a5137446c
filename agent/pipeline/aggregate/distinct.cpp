// count_distinct: exact up to kMaxExact different values (as hashes of 64 bits), beyond that HyperLogLog with 2^kPrecision registers.
//
// The estimate is Ertl 2017, "New cardinality estimation algorithms for HyperLogLog sketches", section 2.4: without tables, unbiased
// over the whole range. Standard error 1.04 / sqrt(2^13) = 1.15 %. The registers are 8 KiB, what the exact hashes took.
#include <xxhash.h>

#include <algorithm>
#include <array>
#include <bit>
#include <cmath>

#include "agent/pipeline/aggregate/accumulator.h"

namespace rivulet::pipeline::aggregate {
namespace {

constexpr std::size_t kMaxExact = 1024;
constexpr int kPrecision = 13;
constexpr std::size_t kRegisters = std::size_t{1} << kPrecision;
constexpr int kMaxRank = 64 - kPrecision + 1;

class DistinctPart final : public Part {
 public:
  std::size_t size_bytes() const override { return sizeof *this + hashes.capacity() * sizeof(std::uint64_t) + registers.capacity(); }
  void add(std::uint64_t hash) {
    if (!registers.empty()) return count_in(hash);
    const auto at = std::lower_bound(hashes.begin(), hashes.end(), hash);
    if (at != hashes.end() && *at == hash) return;
    hashes.insert(at, hash);
    if (hashes.size() > kMaxExact) estimate_from_now();
  }
  void merge(const DistinctPart& other) {
    if (!other.registers.empty()) {
      if (registers.empty()) estimate_from_now();
      for (std::size_t i = 0; i < kRegisters; ++i) registers[i] = std::max(registers[i], other.registers[i]);
    }
    for (const std::uint64_t hash : other.hashes) add(hash);
  }
  std::uint64_t count() const { return registers.empty() ? hashes.size() : static_cast<std::uint64_t>(std::llround(estimate())); }

  std::vector<std::uint64_t> hashes;    // ascending; empty once registers are there
  std::vector<std::uint8_t> registers;  // kRegisters, or none

 private:
  void estimate_from_now() {
    registers.resize(kRegisters);
    for (const std::uint64_t hash : hashes) count_in(hash);
    std::vector<std::uint64_t>().swap(hashes);
  }
  void count_in(std::uint64_t hash) {
    const std::uint64_t rest = hash << kPrecision;
    const auto rank = static_cast<std::uint8_t>(rest == 0 ? kMaxRank : std::countl_zero(rest) + 1);
    std::uint8_t& highest = registers[hash >> (64 - kPrecision)];
    highest = std::max(highest, rank);
  }
  // Ertl's sigma and tau: what registers at 0 and at the highest rank stand for.
  static double sigma(double x) {
    if (x == 1) return INFINITY;
    double y = 1, z = x, before = 0;
    do {
      x *= x;
      before = z;
      z += x * y;
      y += y;
    } while (z != before);
    return z;
  }
  static double tau(double x) {
    if (x == 0 || x == 1) return 0;
    double y = 1, z = 1 - x, before = 0;
    do {
      x = std::sqrt(x);
      before = z;
      y *= 0.5;
      z -= (1 - x) * (1 - x) * y;
    } while (z != before);
    return z / 3;
  }
  double estimate() const {
    std::array<std::uint32_t, kMaxRank + 1> with_rank{};
    for (const std::uint8_t rank : registers) ++with_rank[rank];
    const double m = static_cast<double>(kRegisters);
    double z = m * tau(1 - static_cast<double>(with_rank[kMaxRank]) / m);
    for (int rank = kMaxRank - 1; rank >= 1; --rank) z = 0.5 * (z + static_cast<double>(with_rank[static_cast<std::size_t>(rank)]));
    z += m * sigma(static_cast<double>(with_rank[0]) / m);
    return m / (2 * std::log(2.0)) * m / z;
  }
};

class Distinct final : public Accumulator {
 public:
  bool has_part() const override { return true; }
  unsigned needs() const override { return kToken; }
  std::uint64_t add(const Slot& slot, const Value& value, const Moment&) const override {
    std::string buffer;
    const std::string_view identity = identity_of(value.token, buffer);
    part_of<DistinctPart>(slot).add(XXH3_64bits(identity.data(), identity.size()));
    return 0;
  }
  std::uint64_t merge(const Slot& into, const ConstSlot& from) const override {
    if (const auto* other = part_of<DistinctPart>(from); other != nullptr) part_of<DistinctPart>(into).merge(*other);
    return 0;
  }
  // The number of hashes and they, or one more than the bound and the registers.
  void encode(const ConstSlot& slot, std::string& to) const override {
    const auto* part = part_of<DistinctPart>(slot);
    if (part == nullptr) return put_varint(to, 0);
    put_varint(to, part->registers.empty() ? part->hashes.size() : kMaxExact + 1);
    for (const std::uint64_t hash : part->hashes) put_u64_be(to, hash);
    to.append(part->registers.begin(), part->registers.end());
  }
  bool decode(const Slot& slot, Reader& from) const override {
    const std::uint64_t size = from.varint();
    if (size == 0 || size > kMaxExact + 1) return size == 0;
    auto& part = part_of<DistinctPart>(slot);
    if (size <= kMaxExact) {
      if (from.rest().size() < size * sizeof(std::uint64_t)) return false;
      part.hashes.reserve(size);
      for (std::uint64_t i = 0; i < size; ++i) {
        const std::uint64_t hash = from.u64_be();
        if (i > 0 && hash <= part.hashes.back()) return false;
        part.hashes.push_back(hash);
      }
      return true;
    }
    const std::string_view registers = from.bytes(kRegisters);
    part.registers.assign(registers.begin(), registers.end());
    return registers.size() == kRegisters && std::all_of(part.registers.begin(), part.registers.end(), [](std::uint8_t rank) { return rank <= kMaxRank; });
  }
  // Nothing was seen: 0, as count(x).
  void append(const ConstSlot& slot, Ask, double, const Window*, std::string& to) const override {
    const auto* part = part_of<DistinctPart>(slot);
    to += std::to_string(part == nullptr ? 0 : part->count());
  }
};

}  // namespace

std::unique_ptr<Accumulator> make_distinct() { return std::make_unique<Distinct>(); }

}  // namespace rivulet::pipeline::aggregate
