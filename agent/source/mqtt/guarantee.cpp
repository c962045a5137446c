#include <fmt/core.h>

#include <algorithm>
#include <cstddef>
#include <string_view>
#include <utility>

#include "agent/source/mqtt/mqtt_source.h"

namespace rivulet::source::mqtt {
namespace {

// Takes the first level off; `more` says whether others follow it (an empty one counts).
std::string_view take_level(std::string_view& rest, bool& more) {
  const std::size_t slash = rest.find('/');
  const std::string_view level = rest.substr(0, slash);
  more = slash != std::string_view::npos;
  rest.remove_prefix(more ? slash + 1 : rest.size());
  return level;
}

// A period as a person says it.
std::string period(std::int64_t ms) {
  const std::int64_t hours = ms / 3'600'000;
  if (hours >= 48) return fmt::format("{} days", hours / 24);
  if (hours >= 1) return fmt::format("{} h", hours);
  return fmt::format("{} s", ms / 1000);
}

std::string overlap(const config::MqttSource& settings) {
  for (std::size_t i = 0; i < settings.topics.size(); ++i)
    for (std::size_t k = i + 1; k < settings.topics.size(); ++k)
      if (filters_overlap(settings.topics[i], settings.topics[k]))
        return fmt::format(". The topics {} and {} overlap: the server may deliver a message once for each", settings.topics[i], settings.topics[k]);
  return "";
}

}  // namespace

bool filters_overlap(std::string_view a, std::string_view b) {
  bool more_a = true, more_b = true;
  while (more_a && more_b) {
    const std::string_view one = take_level(a, more_a), two = take_level(b, more_b);
    if (one == "#" || two == "#") return true;
    if (one != two && one != "+" && two != "+") return false;
  }
  if (more_a == more_b) return true;
  return more_a ? a == "#" : b == "#";  // "a/#" matches "a" too
}

std::string describe_guarantee(const config::MqttSource& settings) {
  std::string text;
  if (settings.qos == 2) text = "exactly once: PUBREC after the commit, packet ids in the same transaction, PUBCOMP after their release is committed; redelivery after a crash is recognised";
  if (settings.qos == 1) text = "at least once: PUBACK after the commit; what was not acknowledged comes again after a crash";
  if (settings.qos == 0) text = "at most once: in a crash what came since the last commit (agent.commit_interval) is lost, and so is what is published while the agent is away";
  if (settings.qos > 0) {
    text += settings.version == 5 ? fmt::format("; the server is asked to keep the session for {} while the agent is away", period(settings.session_expiry_ms))
                                  : "; how long the server keeps the session while the agent is away is its own setting (mosquitto: persistent_client_expiration)";
    if (settings.version != 5) text += "; retained messages come again with each connection (not in version 5)";
  }
  text += ". On the server check max_queued_messages (beyond it mosquitto drops silently), set_tcp_nodelay true";
  if (settings.qos > 0)
    text += ", max_inflight_messages (how much it sends before it waits for a commit; version 5 uses receive_maximum instead), and persistence true with a short "
            "autosave_interval (what it has not saved is lost, or comes twice, when the server itself crashes)";
  text += fmt::format(". A message larger than max_packet ({} bytes) is {}dropped, and counted as packet_too_large", settings.max_packet_bytes, settings.qos > 0 ? "acknowledged and " : "");
  if (settings.qos == 2)
    text += ". Redelivery is told by packet ids, which mosquitto counts up: of a server that gives the lowest free packet id instead, a message that equals the one before it in topic and payload is "
            "taken for its repetition if the connection breaks between the two and no two new messages have shown yet how it counts";
  return text + overlap(settings);
}

}  // namespace rivulet::source::mqtt
