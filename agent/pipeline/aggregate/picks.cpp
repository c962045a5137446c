// min, max, first, last, delta: one value out of many.
#include <algorithm>

#include "agent/codec/json.h"
#include "agent/pipeline/aggregate/accumulator.h"
#include "agent/pipeline/aggregate/aggregates.h"
#include "agent/pipeline/aggregate/wide.h"

namespace rivulet::pipeline::aggregate {
namespace {

class TextPart final : public Part {
 public:
  std::size_t size_bytes() const override { return sizeof *this + text.capacity(); }
  std::string text;
};

// SQLite's order: numbers before text, text by its bytes. Of 1 and 1.0 it is 1, whichever came first.
struct ExtremeWords {
  enum Kind : std::uint64_t { none, integer, real, text };
  std::uint64_t kind = none, bits = 0;
  Number number() const { return Number::of_bits(kind == real, bits); }
};

class Extreme final : public Accumulator {
 public:
  explicit Extreme(bool highest) : highest_(highest) {}
  std::size_t words() const override { return words_of<ExtremeWords>(); }
  bool has_part() const override { return true; }
  unsigned needs() const override { return kOrder; }

  std::uint64_t add(const Slot& slot, const Value& value, const Moment&) const override {
    if (value.is_text) offer_text(slot, value.text);
    else offer_number(slot, value.number);
    return 0;
  }
  std::uint64_t merge(const Slot& into, const ConstSlot& from) const override {
    const auto other = get<ExtremeWords>(from.words);
    if (other.kind == ExtremeWords::text) offer_text(into, part_of<TextPart>(from)->text);
    else if (other.kind != ExtremeWords::none) offer_number(into, other.number());
    return 0;
  }
  void encode(const ConstSlot& slot, std::string& to) const override {
    const auto held = get<ExtremeWords>(slot.words);
    put_u8(to, held.kind == ExtremeWords::none ? 0 : held.kind == ExtremeWords::text ? 2 : 1);
    if (held.kind == ExtremeWords::text) put_sized(to, part_of<TextPart>(slot)->text);
    else if (held.kind != ExtremeWords::none) put_number(to, held.number());
  }
  bool decode(const Slot& slot, Reader& from) const override {
    const std::uint8_t kind = from.u8();
    if (kind == 1) {
      Number number;
      if (!get_number(from, number)) return false;
      offer_number(slot, number);
    } else if (kind == 2) {
      const std::string_view text = from.sized();
      if (!from.ok() || text.size() > kMaxKeptBytes) return false;
      offer_text(slot, text);
    }
    return kind <= 2;
  }
  void append(const ConstSlot& slot, Ask, double, const Window*, std::string& to) const override {
    const auto held = get<ExtremeWords>(slot.words);
    if (held.kind == ExtremeWords::none) to += "null";
    else if (held.kind == ExtremeWords::text) codec::append_json_string(to, part_of<TextPart>(slot)->text);
    else append_number(to, held.number());
  }

 private:
  void offer_number(const Slot& slot, const Number& number) const {
    const auto held = get<ExtremeWords>(slot.words);
    if (held.kind == ExtremeWords::text && highest_) return;
    if (held.kind == ExtremeWords::integer || held.kind == ExtremeWords::real) {
      const int order = compare(number, held.number());
      const bool plainer = order == 0 && held.kind == ExtremeWords::real && !number.real;
      if (!plainer && (highest_ ? order <= 0 : order >= 0)) return;
    }
    put(slot.words, ExtremeWords{number.real ? ExtremeWords::real : ExtremeWords::integer, number.bits()});
    drop_part(slot);
  }
  void offer_text(const Slot& slot, std::string_view text) const {
    const auto held = get<ExtremeWords>(slot.words);
    if ((held.kind == ExtremeWords::integer || held.kind == ExtremeWords::real) && !highest_) return;
    std::string& kept = part_of<TextPart>(slot).text;
    if (held.kind == ExtremeWords::text && (highest_ ? text <= kept : text >= kept)) return;
    kept = text;
    put(slot.words, ExtremeWords{ExtremeWords::text, 0});
  }
  const bool highest_;
};

// A JSON token: short ones (most numbers) in two words, longer ones in the part.
struct ShortToken {
  static constexpr std::uint8_t kInPart = 255;
  std::uint8_t length = 0;  // 0: none
  char bytes[15] = {};
};

struct PositionWords {
  std::uint64_t arrival = 0;
  ShortToken token;
};

// first, last by arrival. The token goes on as it came.
class Position final : public Accumulator {
 public:
  explicit Position(bool last) : last_(last) {}
  std::size_t words() const override { return words_of<PositionWords>(); }
  bool has_part() const override { return true; }
  unsigned needs() const override { return kToken; }

  std::uint64_t add(const Slot& slot, const Value& value, const Moment& at) const override {
    offer(slot, value.token, at.arrival);
    return 0;
  }
  std::uint64_t merge(const Slot& into, const ConstSlot& from) const override {
    const auto other = get<PositionWords>(from.words);
    if (other.token.length > 0) offer(into, token_of(other, from), other.arrival);
    return 0;
  }
  void encode(const ConstSlot& slot, std::string& to) const override {
    const auto held = get<PositionWords>(slot.words);
    put_sized(to, token_of(held, slot));
    if (held.token.length > 0) put_varint(to, held.arrival);
  }
  bool decode(const Slot& slot, Reader& from) const override {
    const std::string_view token = from.sized();
    if (token.empty() || token.size() > kMaxKeptBytes) return token.empty();
    offer(slot, token, from.varint());
    return true;
  }
  void append(const ConstSlot& slot, Ask, double, const Window*, std::string& to) const override {
    const auto held = get<PositionWords>(slot.words);
    if (held.token.length == 0) to += "null";
    else to += token_of(held, slot);
  }

 private:
  static std::string_view token_of(const PositionWords& held, const ConstSlot& slot) {
    if (held.token.length == ShortToken::kInPart) return part_of<TextPart>(slot)->text;
    return {held.token.bytes, held.token.length};
  }
  void offer(const Slot& slot, std::string_view token, std::uint64_t arrival) const {
    auto held = get<PositionWords>(slot.words);
    if (held.token.length > 0 && (last_ ? arrival < held.arrival : arrival >= held.arrival)) return;
    held = {arrival, {}};
    if (token.size() <= sizeof held.token.bytes) {
      held.token.length = static_cast<std::uint8_t>(token.size());
      std::copy(token.begin(), token.end(), held.token.bytes);
      drop_part(slot);
    } else {
      held.token.length = ShortToken::kInPart;
      part_of<TextPart>(slot).text = token;
    }
    put(slot.words, held);
  }
  const bool last_;
};

// The last value less the first, by event time, of equal times by arrival.
struct DeltaWords {
  struct End {
    Timestamp timestamp_ms = 0;
    std::uint64_t arrival = 0, real = 0, bits = 0;
    bool before(const End& other) const { return timestamp_ms != other.timestamp_ms ? timestamp_ms < other.timestamp_ms : arrival < other.arrival; }
    Number number() const { return Number::of_bits(real != 0, bits); }
  };
  std::uint64_t seen = 0;
  End first, last;
};

class Delta final : public Accumulator {
 public:
  std::size_t words() const override { return words_of<DeltaWords>(); }
  unsigned needs() const override { return kNumber; }
  std::uint64_t add(const Slot& slot, const Value& value, const Moment& at) const override {
    offer(slot, {at.timestamp_ms, at.arrival, value.number.real ? 1U : 0U, value.number.bits()});
    return 0;
  }
  std::uint64_t merge(const Slot& into, const ConstSlot& from) const override {
    const auto other = get<DeltaWords>(from.words);
    if (other.seen == 0) return 0;
    offer(into, other.first);
    offer(into, other.last);
    return 0;
  }
  void encode(const ConstSlot& slot, std::string& to) const override {
    const auto held = get<DeltaWords>(slot.words);
    put_u8(to, held.seen == 0 ? 0 : 1);
    if (held.seen == 0) return;
    for (const auto& end : {held.first, held.last}) {
      put_zigzag(to, end.timestamp_ms);
      put_varint(to, end.arrival);
      put_number(to, end.number());
    }
  }
  bool decode(const Slot& slot, Reader& from) const override {
    const std::uint8_t seen = from.u8();
    for (int i = 0; i < 2 && seen == 1; ++i) {
      DeltaWords::End end{from.zigzag(), from.varint(), 0, 0};
      Number number;
      if (!get_number(from, number)) return false;
      end.real = number.real ? 1 : 0;
      end.bits = number.bits();
      offer(slot, end);
    }
    return seen <= 1;
  }
  void append(const ConstSlot& slot, Ask, double, const Window*, std::string& to) const override {
    const auto held = get<DeltaWords>(slot.words);
    const Number first = held.first.number(), last = held.last.number();
    if (held.seen == 0) {
      to += "null";
    } else if (first.real || last.real) {
      codec::append_json_double(to, last.as_double() - first.as_double());
    } else {
      Wide difference = Wide::of(last.integer);
      difference.subtract(first.integer);
      difference.append(to);
    }
  }

 private:
  static void offer(const Slot& slot, const DeltaWords::End& end) {
    auto held = get<DeltaWords>(slot.words);
    if (held.seen == 0 || end.before(held.first)) held.first = end;
    if (held.seen == 0 || !end.before(held.last)) held.last = end;
    held.seen = 1;
    put(slot.words, held);
  }
};

}  // namespace

std::unique_ptr<Accumulator> make_extreme(bool highest) { return std::make_unique<Extreme>(highest); }
std::unique_ptr<Accumulator> make_position(bool last) { return std::make_unique<Position>(last); }
std::unique_ptr<Accumulator> make_delta() { return std::make_unique<Delta>(); }

}  // namespace rivulet::pipeline::aggregate
