// Row: a record inside the pipelines: its bytes as they came and its fields as raw JSON tokens.
//
// As long as no step changed a field the bytes go on as they came; else the object is written anew with untouched tokens copied.
// Tokens are views into the frame or into the Arena, which lives until the frame is done. Thread: io.
#pragma once
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "agent/base/ids.h"
#include "agent/record/record.h"

namespace rivulet::pipeline {

// Memory of one frame: views stay where they are until reset(). Keeps one chunk between frames; larger ones go back.
class Arena {
 public:
  std::string_view keep(std::string_view text);
  void reset();
  // What is kept after mark() goes with release(), for results that come by the thousand from one record.
  struct Mark {
    std::size_t chunks, used, size;
  };
  Mark mark() const { return {chunks_.size(), used_, size_}; }
  void release(const Mark& mark);

 private:
  static constexpr std::size_t kChunkBytes = 16 * 1024;
  std::vector<std::unique_ptr<char[]>> chunks_;
  std::size_t used_ = 0, size_ = 0;
};

struct Field {
  std::string_view name;
  std::string_view quoted;  // the name as JSON
  std::string_view token;
  bool text = false;  // token is plain text, not JSON (raw decoding)
};

// A field's name that the configuration gives.
struct FieldName {
  std::string name;
  std::string quoted;
  FieldName() = default;
  explicit FieldName(std::string text);
};

struct Renamed {
  std::string from;
  FieldName to;
};

// A table's change: what its row was before. Lives as long as the table's result is on its way.
struct TableChange {
  std::optional<std::string_view> old_value;  // none: there was no row
  Timestamp old_timestamp_ms = 0;
  bool old_text = false;                      // plain text, not JSON
  bool latest = true;                         // false: a versioned table took a version older than its latest
};

struct Row {
  std::optional<std::string_view> key;
  std::optional<std::string_view> bytes;  // as they came; none = null value
  Timestamp timestamp_ms = 0;
  std::optional<Window> window;  // of a windowed result, on its way through the steps after it
  const TableChange* change = nullptr;  // directly after a table
  bool changed = false;
  std::vector<Field> fields;

  void clear();  // a row for the next record; keeps what memory is worth keeping
  const Field* find(std::string_view name) const;
  void set(const FieldName& name, std::string_view token);  // in place, or at the end; `name` outlives the row
  void drop(std::string_view name);
  // All at once, by the names as they were; each field stays in its place. What has a new name and keeps it goes. `names` outlive the row.
  void rename(const std::vector<Renamed>& names);
  // The value as it leaves: `buffer` is used when it has to be written anew.
  std::optional<std::string_view> value(std::string& buffer) const;
};

}  // namespace rivulet::pipeline
