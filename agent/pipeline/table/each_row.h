// Visiting rows of a state table by who changes the table meanwhile: StateTable::scan() forbids that, so rows are copied in slices.
//
// Thread: io. Bounds: kSliceRows rows, and kSliceBytes beyond the first, are in memory at once.
#pragma once
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "agent/pipeline/state/table.h"

namespace rivulet::pipeline {

inline constexpr std::size_t kSliceRows = 256, kSliceBytes = 256 * 1024;

// Ascending over [from, to) as StateTable::scan(); body(name, bytes). Rows that body puts behind the one it is given may be visited or not.
template <class Body>
void each_row(StateTable& table, std::string from, const std::string& to, const Body& body) {
  std::vector<std::pair<std::string, std::string>> slice;
  bool more = true;
  while (more) {
    slice.clear();
    more = false;
    std::size_t bytes = 0;
    table.scan(from, to, [&](std::string_view name, std::string_view value) {
      bytes += name.size() + value.size();
      more = slice.size() == kSliceRows || (!slice.empty() && bytes > kSliceBytes);
      if (!more) slice.emplace_back(name, value);
      return !more;
    });
    for (const auto& [name, value] : slice) body(std::string_view(name), std::string_view(value));
    if (more) from = slice.back().first + '\0';
  }
}

// Erases all of [from, to). `before(name)` is told first.
template <class Before>
void erase_rows(StateTable& table, const std::string& from, const std::string& to, const Before& before) {
  std::vector<std::string> names;
  std::string next = from;
  do {
    names.clear();
    table.scan(next, to, [&](std::string_view name, std::string_view) {
      names.emplace_back(name);
      return names.size() < kSliceRows;
    });
    for (const std::string& name : names) {
      before(std::string_view(name));
      table.erase(name);
    }
    if (!names.empty()) next = names.back() + '\0';
  } while (names.size() == kSliceRows);
}
inline void erase_rows(StateTable& table, const std::string& from, const std::string& to) {
  erase_rows(table, from, to, [](std::string_view) {});
}

// Where the rows of a table that serves as a queue begin. A table remembers what was erased until it is folded, so a scan from the very
// begin would pass all of that each time: 40 us a record at 10,000 records an epoch.
class Front {
 public:
  const std::string& from() const { return from_; }
  void put(std::string_view name) {
    if (name < from_) from_ = name;
  }
  void passed(std::string_view name) { from_ = name; }  // nothing is before it

 private:
  std::string from_;
};

}  // namespace rivulet::pipeline
