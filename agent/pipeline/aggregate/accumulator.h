// Accumulator: what one aggregate function does with its words and its part of a state. One object a slot of the plan, without state.
//
// Zero words and no part are a fresh state. The words hold plain structs (get, put); what needs memory is a Part, made when there is
// something to put in. Everything is checked before it comes here (value.h), so nothing here can fail but decode().
// Thread: io. Lifetime: the plan's.
#pragma once
#include <cstdint>
#include <cstring>
#include <memory>
#include <string>
#include <type_traits>
#include <vector>

#include "agent/base/bytes.h"
#include "agent/base/ids.h"
#include "agent/pipeline/aggregate/value.h"
#include "agent/record/record.h"

namespace rivulet::pipeline::aggregate {

class Part {
 public:
  virtual ~Part() = default;
  virtual std::size_t size_bytes() const = 0;
};

using Parts = std::unique_ptr<std::unique_ptr<Part>[]>;  // made with the first part that is needed

struct Slot {
  std::uint64_t* words;
  Parts* parts;
  std::size_t part, part_count;
};
struct ConstSlot {
  const std::uint64_t* words;
  const Part* part;
};

template <class T>
T get(const std::uint64_t* words) {
  static_assert(std::is_trivially_copyable_v<T> && sizeof(T) % sizeof(std::uint64_t) == 0);
  T value;
  std::memcpy(static_cast<void*>(&value), words, sizeof value);
  return value;
}
template <class T>
void put(std::uint64_t* words, const T& value) {
  std::memcpy(words, &value, sizeof value);
}
template <class T>
constexpr std::size_t words_of() {
  return sizeof(T) / sizeof(std::uint64_t);
}

template <class T>
T& part_of(const Slot& slot) {
  if (*slot.parts == nullptr) *slot.parts = std::make_unique<std::unique_ptr<Part>[]>(slot.part_count);
  std::unique_ptr<Part>& part = (*slot.parts)[slot.part];
  if (part == nullptr) part = std::make_unique<T>();
  return static_cast<T&>(*part);
}
inline void drop_part(const Slot& slot) {
  if (*slot.parts != nullptr) (*slot.parts)[slot.part].reset();
}
template <class T>
const T* part_of(const ConstSlot& slot) {
  return static_cast<const T*>(slot.part);
}

// Where a value stands among the others.
struct Moment {
  Timestamp timestamp_ms = 0;
  std::uint64_t arrival = 0;
};

// What a call wants to know of a slot: several calls share one, such as avg(t) and sum(t).
enum class Ask { value, mean, rate, deviation, deviation_of_all, variance, variance_of_all, quantile };

class Accumulator {
 public:
  virtual ~Accumulator() = default;
  virtual std::size_t words() const { return 0; }
  virtual bool has_part() const { return false; }
  virtual unsigned needs() const { return kPresence; }
  virtual bool takes_nulls() const { return false; }  // else add() is never given one
  virtual bool subtractable() const { return false; }

  // Answer how many values found no place.
  virtual std::uint64_t add(const Slot& slot, const Value& value, const Moment& at) const = 0;
  virtual std::uint64_t merge(const Slot& into, const ConstSlot& from) const = 0;
  virtual void subtract(const Slot& slot, const Value& value) const;
  virtual void encode(const ConstSlot& slot, std::string& to) const = 0;
  virtual bool decode(const Slot& slot, Reader& from) const = 0;  // into a fresh one; false: damaged
  // Appends JSON; null where no value was seen.
  virtual void append(const ConstSlot& slot, Ask ask, double parameter, const Window* window, std::string& to) const = 0;
};

std::unique_ptr<Accumulator> make_count(bool nulls_too);
std::unique_ptr<Accumulator> make_sum();
std::unique_ptr<Accumulator> make_extreme(bool highest);
std::unique_ptr<Accumulator> make_position(bool last);
std::unique_ptr<Accumulator> make_delta();
std::unique_ptr<Accumulator> make_list(bool set);
std::unique_ptr<Accumulator> make_topk(std::size_t count);
std::unique_ptr<Accumulator> make_distinct();
std::unique_ptr<Accumulator> make_moments();
std::unique_ptr<Accumulator> make_quantiles();
std::unique_ptr<Accumulator> make_histogram(std::vector<double> bounds);
std::unique_ptr<Accumulator> make_time_weighted();

}  // namespace rivulet::pipeline::aggregate
