// StateFile: a read-only look into the state of a store's file, as of the last commit.
//
// Thread: the opener's. Bounds: one statement a call, so that no read transaction holds up the log. Errors as sqlite.h.
#pragma once
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "store/sqlite.h"
#include "store/state.h"

namespace rivulet::store {

class StateFile {
 public:
  static result<StateFile> open(const std::string& path, const std::string& vfs);
  result<std::optional<std::string>> get(std::uint32_t table, std::string_view key);
  result<std::vector<std::pair<std::string, std::string>>> rows(std::uint32_t table, std::string_view from, std::string_view to, std::size_t limit);

 private:
  Connection connection_;
  Statement get_, rows_, rows_to_;
};

}  // namespace rivulet::store
