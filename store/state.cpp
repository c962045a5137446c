#include "store/state.h"

#include "agent/base/bytes.h"

namespace rivulet::store {

// table, key, then 0 for erased, or the value's length + 1 and the value.
void append_change(std::string& body, std::uint32_t table, std::string_view key, std::optional<std::string_view> value) {
  put_varint(body, table);
  put_sized(body, key);
  put_varint(body, value ? value->size() + 1 : 0);
  if (value) body += *value;
}

result<void> read_changes(std::string_view body, const std::function<void(std::uint32_t, std::string_view, std::optional<std::string_view>)>& visit) {
  Reader reader(body);
  while (reader.ok() && !reader.at_end()) {
    const std::uint64_t table = reader.varint();
    const std::string_view key = reader.sized();
    const std::uint64_t size = reader.varint();
    const std::string_view value = size == 0 ? std::string_view() : reader.bytes(size - 1);
    if (!reader.ok() || table > UINT32_MAX) break;
    visit(static_cast<std::uint32_t>(table), key, size == 0 ? std::nullopt : std::optional(value));
  }
  if (!reader.ok()) return Error{ErrorCode::corrupt, "store: a row of the state log is damaged"};
  return {};
}

Error definition_changed(const std::string& pipeline, const std::string& step) {
  return {ErrorCode::conflict, "state: step '" + step + "' of pipeline '" + pipeline +
                                   "' has state that was written under another definition of it, and means something else now; give the step another name to begin anew beside "
                                   "it, or drop the old state with `rivulet state reset " + pipeline + " " + step + "` (`rivulet state list` shows what there is, `rivulet state drop` removes what no step uses)"};
}

}  // namespace rivulet::store
