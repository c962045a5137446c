// raw with a pattern: the named groups of a Perl-compatible regular expression become fields.
//
// PCRE2's interpreter, bounded in steps and memory: a pattern that would try for ever (nested repetitions on a text that does not match)
// gives up. Not its compiler: the service may not make memory executable, and a pattern shall mean the same in `replay` as there.
#define PCRE2_CODE_UNIT_WIDTH 8
#include <fmt/core.h>
#include <pcre2.h>

#include <algorithm>

#include "agent/codec/decoder.h"

namespace rivulet::codec {
namespace {

constexpr std::uint32_t kMaxSteps = 200'000;  // about 5 ms at the very most; patterns for log lines take tens to thousands
constexpr std::uint32_t kMaxHeapKiB = 1024, kMaxDepth = 10'000;
constexpr std::size_t kMaxPatternBytes = 16 * 1024;

struct FreeCode {
  void operator()(pcre2_code* code) const { pcre2_code_free(code); }
};
struct FreeMatch {
  void operator()(pcre2_match_data* match) const { pcre2_match_data_free(match); }
};
struct FreeContext {
  void operator()(pcre2_match_context* context) const { pcre2_match_context_free(context); }
};
using Code = std::unique_ptr<pcre2_code, FreeCode>;

std::string message_of(int error) {
  PCRE2_UCHAR text[256];
  return pcre2_get_error_message(error, text, sizeof text) < 0 ? fmt::format("error {}", error) : reinterpret_cast<const char*>(text);
}

struct Group {
  std::string name, quoted;
  std::uint32_t number = 0;
};

std::vector<Group> groups_of(const pcre2_code* code) {
  std::uint32_t count = 0, entry_bytes = 0;
  PCRE2_SPTR table = nullptr;
  pcre2_pattern_info(code, PCRE2_INFO_NAMECOUNT, &count);
  pcre2_pattern_info(code, PCRE2_INFO_NAMEENTRYSIZE, &entry_bytes);
  pcre2_pattern_info(code, PCRE2_INFO_NAMETABLE, &table);
  std::vector<Group> groups;
  for (std::uint32_t i = 0; i < count; ++i) {
    const PCRE2_SPTR entry = table + std::size_t{i} * entry_bytes;  // two bytes of number, then the name
    Group group;
    group.number = static_cast<std::uint32_t>(entry[0]) << 8 | entry[1];
    group.name = reinterpret_cast<const char*>(entry + 2);
    append_json_utf8(group.quoted, group.name);
    groups.push_back(std::move(group));
  }
  std::sort(groups.begin(), groups.end(), [](const Group& a, const Group& b) { return a.number < b.number; });
  return groups;
}

class PatternDecoder final : public Decoder {
 public:
  PatternDecoder(Code code, std::vector<Group> groups, bool guess)
      : code_(std::move(code)), groups_(std::move(groups)), guess_(guess), match_(pcre2_match_data_create_from_pattern(code_.get(), nullptr)), context_(pcre2_match_context_create(nullptr)) {
    pcre2_set_match_limit(context_.get(), kMaxSteps);
    pcre2_set_depth_limit(context_.get(), kMaxDepth);
    pcre2_set_heap_limit(context_.get(), kMaxHeapKiB);
  }

 protected:
  result<Found> take(JsonObject& to) override {
    const std::string_view text = std::exchange(rest_, {});
    if (!is_utf8(text)) return Error{ErrorCode::invalid, "not valid UTF-8"};
    const int found = pcre2_match(code_.get(), reinterpret_cast<PCRE2_SPTR>(text.data()), text.size(), 0, PCRE2_NO_UTF_CHECK, match_.get(), context_.get());
    if (found == PCRE2_ERROR_NOMATCH) {
      if (text.find_first_not_of(" \t\r\n") == std::string_view::npos) return Found::nothing;
      return Error{ErrorCode::invalid, "it does not match the pattern"};
    }
    if (found < 0) return Error{ErrorCode::invalid, "the pattern gave up on it: " + message_of(found)};
    const PCRE2_SIZE* ends = pcre2_get_ovector_pointer(match_.get());
    to.begin();
    for (const Group& group : groups_) {
      std::string& token = to.begin_field(group.name, group.quoted);
      const PCRE2_SIZE begin = ends[2 * group.number], end = ends[2 * group.number + 1];
      if (begin == PCRE2_UNSET) token += "null";
      else if (begin > end) return Error{ErrorCode::invalid, "the pattern moves the beginning of a group behind its end (\\K)"};
      else if (guess_) append_guessed(token, text.substr(begin, end - begin));
      else append_json_utf8(token, text.substr(begin, end - begin));
    }
    if (auto ended = to.end(); !ended) return ended.error();
    return Found::record;
  }

 private:
  const Code code_;
  const std::vector<Group> groups_;
  const bool guess_;
  const std::unique_ptr<pcre2_match_data, FreeMatch> match_;
  const std::unique_ptr<pcre2_match_context, FreeContext> context_;
};

}  // namespace

result<std::unique_ptr<Decoder>> make_pattern_decoder(const std::string& pattern, bool guess) {
  if (pattern.size() > kMaxPatternBytes) return Error{ErrorCode::invalid, fmt::format("is longer than {} bytes", kMaxPatternBytes)};
  if (!is_utf8(pattern)) return Error{ErrorCode::invalid, "is not valid UTF-8"};
  int error = 0;
  PCRE2_SIZE at = 0;
  Code code(pcre2_compile(reinterpret_cast<PCRE2_SPTR>(pattern.data()), pattern.size(), PCRE2_UTF | PCRE2_NEVER_BACKSLASH_C, &error, &at, nullptr));
  if (code == nullptr) return Error{ErrorCode::invalid, fmt::format("is no regular expression: {} at character {}", message_of(error), at)};
  std::vector<Group> groups = groups_of(code.get());
  if (groups.empty()) return Error{ErrorCode::invalid, "names no group, so that no field would come of it; expected one such as (?<level>[A-Z]+)"};
  std::vector<std::string_view> names;
  for (const Group& group : groups) names.push_back(group.name);
  std::sort(names.begin(), names.end());
  if (const auto twice = std::adjacent_find(names.begin(), names.end()); twice != names.end()) return Error{ErrorCode::invalid, fmt::format("names the group '{}' twice", *twice)};
  return std::unique_ptr<Decoder>(std::make_unique<PatternDecoder>(std::move(code), std::move(groups), guess));
}

}  // namespace rivulet::codec
