#include "agent/pipeline/state/memory.h"

#include "agent/base/check.h"

namespace rivulet::pipeline {

result<std::uint32_t> StateMemory::step(const std::string& pipeline, const std::string& step, const std::string& definition) {
  const auto [found, added] = steps_.try_emplace({pipeline, step}, Step{static_cast<std::uint32_t>(steps_.size() + 1), definition});
  if (found->second.definition != definition) return store::definition_changed(pipeline, step);
  return found->second.id;
}

result<void> StateMemory::log(const std::function<result<void>(std::uint64_t, std::string_view)>& visit) {
  for (const auto& [number, body] : log_)
    if (auto done = visit(number, body); !done) return done;
  return {};
}

result<std::optional<std::string>> StateMemory::get(std::uint32_t table, std::string_view key) {
  const auto& rows = tables_[table];
  const auto found = rows.find(key);
  if (found == rows.end()) return std::optional<std::string>();
  return std::optional<std::string>(found->second);
}

result<std::vector<std::pair<std::string, std::string>>> StateMemory::rows(std::uint32_t table, std::string_view from, std::string_view to, std::size_t limit) {
  std::vector<std::pair<std::string, std::string>> found;
  const auto& all = tables_[table];
  for (auto it = all.lower_bound(from); it != all.end() && found.size() < limit && (to.empty() || it->first < to); ++it) found.emplace_back(it->first, it->second);
  return found;
}

void StateMemory::commit(const store::StateChanges& changes) {
  if (changes.empty()) return;
  const auto read = store::read_changes(changes.folded, [&](std::uint32_t table, std::string_view key, std::optional<std::string_view> value) {
    if (value) tables_[table][std::string(key)] = *value;
    else tables_[table].erase(std::string(key));
  });
  RV_CHECK(read.has_value(), "changes that were just written can be read");
  log_.erase(log_.begin(), log_.upper_bound(changes.folded_up_to));
  log_[changes.number] = changes.body;
}

}  // namespace rivulet::pipeline
