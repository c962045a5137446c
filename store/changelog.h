// Changelog: state, positions and sequence numbers as records of a compacted topic, so that they survive the device.
//
// Constraints: compaction keeps the latest record of a key, so a key names the agent and one thing that has a value. State must never
// run ahead of results nor behind them, so one epoch's changes and its results share one transaction: an epoch begins with a
// header that says which records of which streams it is about. A topic may be shared by a fleet.
// Format: key = varint size and bytes of the agent id, a kind, then what that kind needs. Value = version u8 (1), generation (8 bytes), body;
// none: the thing is gone.
//   'e' header     body: flags u8 (1: complete), incarnation (16 bytes), varint id of the changelog's own stream, varint records of this epoch in the changelog, header
//                  included, varint sequence number of the last of them, varint bytes of the epoch, varint streams, each: varint id, sized
//                  name, sized topic, varint last sequence number, varint records of it in this epoch
//   'c' catalogue  body: varint steps, each: sized pipeline, step, definition; varint sources, each: sized name
//   's' state      key: sized pipeline, sized step, part u8, the state's key; body: its value
//   'p' position   key: sized source, the position's key; body: its value
// Generation: begins whenever everything is written anew (the changelog is new, or the catalogue changed). A restore takes the last header's
// generation and nothing of older ones, whose keys may linger. Not complete: the writing-anew is not yet at its end.
// Thread: any (pure). decode_* answer nothing for bytes that are damaged, hostile, or of a newer version.
#pragma once
#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "agent/base/ids.h"

namespace rivulet::store {

// A changelog is a stream of the outbox under this name; drop-oldest leaves it alone. No pipeline's or source's name begins so. The same
// name is a source of `positions`: what the writer keeps for itself, under the keys below.
inline std::string changelog_name(const std::string& topic) { return "@" + topic; }
inline bool is_changelog(std::string_view stream_name) { return !stream_name.empty() && stream_name.front() == '@'; }
inline constexpr const char* kGenerationKey = "generation";  // generation, catalogue: all of it is in the changelog
inline constexpr const char* kMembersKey = "members";        // streams that headers not yet forwarded may name

using Generation = std::array<std::uint8_t, 8>;
Generation random_generation();

enum class ChangelogKind : std::uint8_t { header = 'e', catalogue = 'c', state = 's', position = 'p' };

struct ChangelogStream {
  StreamId id = 0;
  std::string name, topic;
  Sequence last = 0;          // after this epoch
  std::uint64_t records = 0;  // in it
  Sequence before() const { return last - records; }
  bool operator==(const ChangelogStream&) const = default;
};

struct ChangelogHeader {
  bool complete = true;
  Uuid incarnation;
  StreamId own = 0;           // the changelog's stream
  std::uint64_t records = 1;  // in the changelog
  Sequence last = 0;          // of the changelog
  std::uint64_t bytes = 0;    // of changelog and results, about
  std::vector<ChangelogStream> streams;
  bool operator==(const ChangelogHeader&) const = default;
};

struct ChangelogStep {
  std::string pipeline, step, definition;
  bool operator==(const ChangelogStep&) const = default;
};
struct ChangelogCatalogue {
  std::vector<ChangelogStep> steps;
  std::vector<std::string> sources;
  bool operator==(const ChangelogCatalogue&) const = default;
};

std::string changelog_key(std::string_view agent, ChangelogKind kind);
std::string changelog_state_key(std::string_view agent, std::string_view pipeline, std::string_view step, std::uint32_t part, std::string_view key);
std::string changelog_position_key(std::string_view agent, std::string_view source, std::string_view key);
// Version and generation; the body follows.
std::string changelog_value(const Generation& generation, std::string_view body = {});
std::string encode_body(const ChangelogHeader& header);
std::string encode_body(const ChangelogCatalogue& catalogue);

struct ChangelogKey {  // views into the bytes
  std::string_view agent;
  ChangelogKind kind = ChangelogKind::header;
  std::string_view pipeline, step;  // state
  std::string_view source;          // position
  std::uint32_t part = 0;
  std::string_view key;
};
struct ChangelogValue {
  Generation generation{};
  std::string_view body;
};
std::optional<ChangelogKey> decode_changelog_key(std::string_view bytes);
std::optional<ChangelogValue> decode_changelog_value(std::string_view bytes);
std::optional<ChangelogHeader> decode_header(std::string_view body);
std::optional<ChangelogCatalogue> decode_catalogue(std::string_view body);

// What is kept in `positions` under the changelog's name.
std::string encode_members(const std::vector<StreamId>& members);
std::vector<StreamId> decode_members(std::string_view bytes);

}  // namespace rivulet::store
