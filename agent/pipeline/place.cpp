#include "agent/pipeline/place.h"

#include <fmt/format.h>

#include <algorithm>

#include "agent/base/words.h"

namespace rivulet::pipeline {
namespace {

constexpr std::string_view kText = " text", kAfter = " after ";

struct Form {
  Place::At at;
  std::string_view before, behind;  // the index
};
constexpr Form kForms[] = {{Place::At::step, "steps[", "]"}, {Place::At::other, "steps[", "].other"}, {Place::At::list, "steps[", "].list"}, {Place::At::output, "to[", "]"}};

std::optional<Place> with_index(std::string_view text) {
  for (const Form& form : kForms) {
    if (text.size() <= form.before.size() + form.behind.size() || !text.starts_with(form.before) || !text.ends_with(form.behind)) continue;
    const std::string_view digits = text.substr(form.before.size(), text.size() - form.before.size() - form.behind.size());
    Place place{form.at};
    if (whole_number(digits, place.index)) return place;
  }
  return std::nullopt;
}

}  // namespace

std::string text_of(const Place& place) {
  std::string text = place.at == Place::At::arrival ? "arrival" : "key";
  for (const Form& form : kForms)
    if (form.at == place.at) text = fmt::format("{}{}{}", form.before, place.index, form.behind);
  if (place.text) text += kText;
  if (!place.before.empty()) text.append(kAfter).append(place.before);
  return text;
}

std::optional<Place> place_of(std::string_view text) {
  std::string before;
  if (const std::size_t after = text.find(kAfter); after != text.npos) {
    before = text.substr(after + kAfter.size());
    text = text.substr(0, after);
  }
  const bool plain = text.ends_with(kText);
  if (plain) text.remove_suffix(kText.size());
  std::optional<Place> place = with_index(text);
  if (text == "arrival") place = Place{Place::At::arrival};
  if (text == "key") place = Place{Place::At::key};
  if (!place) return std::nullopt;
  place->text = plain;
  place->before = std::move(before);
  return place;
}

std::string kinds_before(const config::Pipeline& pipeline, const Place& place) {
  if (place.at == Place::At::arrival || place.at == Place::At::key) return {};
  const std::size_t steps = place.at == Place::At::output ? pipeline.steps.size() : std::min(place.index, pipeline.steps.size());
  std::string kinds;
  for (std::size_t i = 0; i < steps; ++i) kinds += (i == 0 ? "" : ", ") + pipeline.steps[i].kind;
  return kinds;
}

}  // namespace rivulet::pipeline
