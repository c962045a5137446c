#include "agent/pipeline/place.h"

#include <algorithm>
#include <array>

namespace rivulet::pipeline {
namespace {

constexpr std::string_view kText = " text", kAfter = " after ";
constexpr std::array<std::string_view, 5> kNames{"arrival", "key", "steps", "other", "to"};

}  // namespace

std::string text_of(const Place& place) {
  std::string text(kNames[static_cast<std::size_t>(place.at)]);
  if (place.text) text += kText;
  if (!place.after.empty()) text.append(kAfter).append(place.after);
  return text;
}

std::optional<Place> place_of(std::string_view text) {
  Place place;
  if (const std::size_t after = text.find(kAfter); after != text.npos) {
    place.after = text.substr(after + kAfter.size());
    text = text.substr(0, after);
  }
  place.text = text.ends_with(kText);
  if (place.text) text.remove_suffix(kText.size());
  const auto name = std::find(kNames.begin(), kNames.end(), text);
  if (name == kNames.end()) return std::nullopt;
  place.at = static_cast<Place::At>(name - kNames.begin());
  return place;
}

}  // namespace rivulet::pipeline
