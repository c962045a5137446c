// FileRows: the rows of a table's file, out of its bytes as they come: CSV with a line of names, an array of JSON objects, or JSON lines.
//
// A CSV field is a JSON number where it is written as one (0.5; not 007), null where it is empty without quotes, else text.
// Thread: one. Bounds: a row of 1 MiB. Errors: what is wrong and in which line or row; nothing more can be read then.
#pragma once
#include <functional>
#include <memory>
#include <string>
#include <string_view>

#include "agent/base/result.h"

namespace rivulet::pipeline {

class FileRows {
 public:
  using Visit = std::function<result<void>(std::string_view key, std::string_view json)>;
  virtual ~FileRows() = default;
  virtual result<void> feed(std::string_view bytes) = 0;
  virtual result<void> finish() = 0;
  // By the path's ending: .csv, .json, .jsonl. `key_field` is the field whose text is a row's key.
  static std::unique_ptr<FileRows> make(const std::string& path, const std::string& key_field, Visit visit);
};

}  // namespace rivulet::pipeline
