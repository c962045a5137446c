#include <algorithm>

#include "agent/forward/restore.h"

namespace rivulet::forward {
namespace {

constexpr std::size_t row_bytes = 64;

Error senseless(const std::string& what) {
  return {ErrorCode::corrupt, what + ": it is damaged, or a newer version of rivulet wrote it; restore with the version that wrote it"};
}

}  // namespace

bool ChangelogReplay::knows(std::string_view pipeline, std::string_view step) const {
  return catalogue_ && std::any_of(catalogue_->steps.begin(), catalogue_->steps.end(), [&](const auto& one) { return one.pipeline == pipeline && one.step == step; });
}

result<void> ChangelogReplay::take(std::string_view bytes, std::optional<std::string_view> value) {
  using Kind = store::ChangelogKind;
  const auto mine = store::changelog_key(agent_id_, Kind::header);
  if (bytes.substr(0, mine.size() - 1) != std::string_view(mine).substr(0, mine.size() - 1)) return {};  // another agent's
  const auto key = store::decode_changelog_key(bytes);
  if (!key) return senseless("a record's key cannot be read");
  std::optional<std::string_view> body;
  if (value) {
    const auto decoded = store::decode_changelog_value(*value);
    if (!decoded) return senseless("a record cannot be read");
    if (decoded->generation != generation_) return {};
    body = decoded->body;
  }
  switch (key->kind) {
    case Kind::header:
      if (body) header_ = store::decode_header(*body);
      if (body && !header_) return senseless("a header cannot be read");
      return {};
    case Kind::catalogue:
      if (body) catalogue_ = store::decode_catalogue(*body);
      if (body && !catalogue_) return senseless("the catalogue cannot be read");
      return {};
    case Kind::state:
      if (!knows(key->pipeline, key->step)) {
        if (!body) return {};  // of an older generation
        return senseless("a row of state belongs to a step that the catalogue does not have");
      }
      batch_.rows.push_back({std::string(key->pipeline), std::string(key->step), key->part, std::string(key->key), body ? std::optional<std::string>(*body) : std::nullopt});
      ++rows_;
      break;
    case Kind::position:
      batch_.positions.push_back({std::string(key->source), std::string(key->key), body ? std::optional<std::string>(*body) : std::nullopt});
      ++positions_;
      break;
  }
  bytes_ += bytes.size() + (value ? value->size() : 0) + row_bytes;
  return {};
}

store::Rebuild ChangelogReplay::take_batch() {
  bytes_ = 0;
  auto batch = std::exchange(batch_, {});
  if (catalogue_) {
    for (const auto& step : catalogue_->steps) {
      store::StateStep made;
      made.pipeline = step.pipeline;
      made.step = step.step;
      made.definition = step.definition;
      batch.steps.push_back(std::move(made));
    }
  }
  return batch;
}

}  // namespace rivulet::forward
