// CSV (RFC 4180) records: rows of a frame that is whole in memory, as views into it. (csv.h reads whole files in pieces.)
#include <fmt/core.h>

#include <cstring>
#include <unordered_set>

#include "agent/codec/decoder.h"

namespace rivulet::codec {
namespace {

constexpr std::string_view kByteOrderMark = "\xEF\xBB\xBF";

Error wrong(std::string what) { return {ErrorCode::invalid, "no CSV: " + std::move(what)}; }

struct Cell {
  std::string_view text;  // within its quotes
  bool quoted = false, doubled = false;  // doubled: it holds quotes, each written twice
};

std::string_view unquoted(const Cell& cell, std::string& buffer) {
  if (!cell.doubled) return cell.text;
  buffer.clear();
  for (std::size_t i = 0; i < cell.text.size(); ++i) {
    buffer += cell.text[i];
    if (cell.text[i] == '"') ++i;
  }
  return buffer;
}

// Takes one row off `rest`, up to its line's end. After an error `rest` goes on with the next line.
class Row {
 public:
  explicit Row(char separator) : separator_(separator) {}
  const std::vector<Cell>& cells() const { return cells_; }
  bool blank() const { return cells_.size() == 1 && cells_[0].text.empty() && !cells_[0].quoted; }

  result<void> take(std::string_view& rest) {
    cells_.clear();
    for (;;) {
      if (cells_.size() == kMaxFields) return leave(rest, fmt::format("more than {} fields", kMaxFields));
      if (const char* why = rest.empty() || rest.front() != '"' ? plain(rest) : quoted(rest)) return leave(rest, why);
      if (rest.empty()) return {};
      const char c = rest.front();
      rest.remove_prefix(1);
      if (c == separator_) continue;
      if (c == '\n') return {};
      // What ended the field is a carriage return: only a line's end may follow.
      if (rest.empty()) return {};
      if (rest.front() != '\n') return leave(rest, "a carriage return stands in a field without quotes");
      rest.remove_prefix(1);
      return {};
    }
  }

 private:
  const char* plain(std::string_view& rest) {
    std::size_t at = 0;
    while (at < rest.size() && rest[at] != separator_ && rest[at] != '\n' && rest[at] != '\r' && rest[at] != '"') ++at;
    cells_.push_back({rest.substr(0, at)});
    rest.remove_prefix(at);
    return !rest.empty() && rest.front() == '"' ? "a quote stands within a field without quotes" : nullptr;
  }
  const char* quoted(std::string_view& rest) {
    Cell cell{{}, true};
    std::size_t at = 1;
    for (;; at += 2) {
      at = rest.find('"', at);
      if (at == std::string_view::npos) {
        rest = {};
        return "a quote is not closed (a line that ends within quotes is no whole record)";
      }
      if (at + 1 == rest.size() || rest[at + 1] != '"') break;
      cell.doubled = true;
    }
    cell.text = rest.substr(1, at - 1);
    cells_.push_back(cell);
    rest.remove_prefix(at + 1);
    const bool ends = rest.empty() || rest.front() == separator_ || rest.front() == '\n' || rest.front() == '\r';
    return ends ? nullptr : "something follows the closing quote of a field";
  }
  static Error leave(std::string_view& rest, std::string why) {
    const std::size_t end = rest.find('\n');
    rest.remove_prefix(end == std::string_view::npos ? rest.size() : end + 1);
    return wrong(std::move(why));
  }

  const char separator_;
  std::vector<Cell> cells_;
};

struct Column {
  std::string name, quoted;
};

class CsvDecoder final : public Decoder {
 public:
  explicit CsvDecoder(const CsvOptions& options) : options_(options), row_(options.separator) {
    for (const std::string& name : options.columns) add(name);
  }

  std::optional<std::string> header() const override {
    if (!options_.header || failure_ || (options_.columns.empty() && !named_)) return std::nullopt;
    return header_;
  }

 protected:
  void on_begin(const std::optional<std::string_view>& first_line) override {
    if (rest_.substr(0, kByteOrderMark.size()) == kByteOrderMark) rest_.remove_prefix(kByteOrderMark.size());
    if (!options_.header) return;
    if (first_line) return take_names(*first_line);
    // The frame has a header of its own.
    const std::string_view before = rest_;
    for (bool found = false; !found;) {
      if (rest_.empty()) {  // blank lines and nothing else: take() says so
        failure_.reset();
        named_ = false;
        rest_ = before;
        return;
      }
      const auto taken = row_.take(rest_);
      found = !taken || !row_.blank();
    }
    take_names(before.substr(0, before.size() - rest_.size()));
    if (failure_) rest_ = before;
  }

  result<Found> take(JsonObject& to) override {
    if (failure_) {  // without names nothing of it is a record
      rest_ = {};
      return *failure_;
    }
    const std::string_view before = rest_;
    if (auto taken = row_.take(rest_); !taken) return taken.error();
    if (row_.blank()) return Found::nothing;
    if (!is_utf8(before.substr(0, before.size() - rest_.size()))) return wrong("not valid UTF-8");
    const std::vector<Cell>& cells = row_.cells();
    if (cells.size() != columns_.size()) return wrong(fmt::format("it has {} fields, expected the {} that are named", cells.size(), columns_.size()));
    to.begin();
    for (std::size_t i = 0; i < cells.size(); ++i) append(to.begin_field(columns_[i].name, columns_[i].quoted), cells[i]);
    if (auto ended = to.end(); !ended) return ended.error();
    return Found::record;
  }

 private:
  void append(std::string& to, const Cell& cell) {
    if (cell.quoted || !options_.guess) append_json_utf8(to, unquoted(cell, buffer_));
    else if (cell.text.empty()) to += "null";
    else append_guessed(to, cell.text);
  }

  void add(std::string_view name) {
    Column& column = columns_.emplace_back();
    column.name = name;
    append_json_utf8(column.quoted, name);
  }

  void take_names(std::string_view line) {
    if (!options_.columns.empty()) return;
    if (named_ && line == header_) return;
    named_ = true;
    header_ = line.substr(0, kMaxHeaderBytes + 1);
    failure_.reset();
    columns_.clear();
    if (auto read = read_names(line); !read) failure_ = Error{ErrorCode::invalid, read.error().message + " (in the header)"};
  }

  result<void> read_names(std::string_view line) {
    if (line.size() > kMaxHeaderBytes) return wrong(fmt::format("it is longer than {} bytes", kMaxHeaderBytes));
    if (line.substr(0, kByteOrderMark.size()) == kByteOrderMark) line.remove_prefix(kByteOrderMark.size());
    if (!is_utf8(line)) return wrong("not valid UTF-8");
    do {
      if (line.empty()) return wrong("there is none: the first line names the fields");
      if (auto taken = row_.take(line); !taken) return taken;
    } while (row_.blank());
    std::unordered_set<std::string> once;
    for (const Cell& cell : row_.cells()) {
      const std::string name(unquoted(cell, buffer_));
      if (name.empty()) return wrong(fmt::format("field {} has no name (`columns` gives names of your own)", columns_.size() + 1));
      if (!once.insert(name).second) return wrong("the field '" + name + "' stands twice (`columns` gives names of your own)");
      add(name);
    }
    return {};
  }

  const CsvOptions options_;
  Row row_;
  std::vector<Column> columns_;
  std::string header_, buffer_;  // header_: what columns_ were read from
  bool named_ = false;
  std::optional<Error> failure_;  // of the header in force
};

}  // namespace

std::unique_ptr<Decoder> make_csv_decoder(const CsvOptions& options) { return std::make_unique<CsvDecoder>(options); }

}  // namespace rivulet::codec
