#include "agent/app/top/screen.h"

#include <fmt/chrono.h>
#include <fmt/core.h>

#include <algorithm>
#include <ctime>

#include "agent/app/json_view.h"
#include "agent/app/printable.h"

namespace rivulet::app {
namespace {

enum class Look { normal, head, dim, good, warn, bad };

struct Line {
  std::string text;
  Look look = Look::normal;
};

std::string painted(const Line& line, const ScreenSize& size) {
  static constexpr const char* starts[] = {"", "\x1b[7m", "\x1b[2m", "\x1b[32m", "\x1b[33m", "\x1b[1;31m"};
  const std::string text = line.look == Look::head ? left(line.text, size.columns) : shown(line.text, size.columns);
  if (size.plain || line.look == Look::normal) return text;
  return starts[static_cast<int>(line.look)] + text + "\x1b[0m";
}

std::string clock_text(std::uint64_t ms) { return fmt::format("{:%H:%M:%S}", fmt::localtime(static_cast<std::time_t>(ms / 1000))); }

class Screen {
 public:
  Screen(JsonView before, JsonView now, const ScreenSize& size) : before_(before), now_(now), size_(size) {
    const std::uint64_t from = before_.at("uptime_ms").number(), to = now_.at("uptime_ms").number();
    seconds_ = !before_.is_null() && to > from ? static_cast<double>(to - from) / 1000 : 0;
  }

  std::vector<std::string> lines() {
    head();
    std::vector<Part> parts{sources(), pipelines(), streams(), errors()};
    std::erase_if(parts, [](const Part& part) { return part.lines.empty(); });
    fit(parts);
    for (const Part& part : parts) {
      lines_.push_back(part.head);
      lines_.insert(lines_.end(), part.lines.begin(), part.lines.end());
    }
    if (lines_.size() > size_.rows) lines_.resize(size_.rows);
    std::vector<std::string> all;
    for (const Line& line : lines_) all.push_back(painted(line, size_));
    return all;
  }

 private:
  struct Part {
    Line head;
    std::vector<Line> lines;
  };

  // The counter's rate; nothing before there are two answers of one run.
  std::string rate(const JsonView& was, const JsonView& is, const char* field) const { return rate(was, is, field, [](double a_second) { return rate_text(a_second); }); }
  template <class Text>
  std::string rate(const JsonView& was, const JsonView& is, const char* field, const Text& text) const {
    if (seconds_ <= 0 || was.is_null()) return "-";
    const std::uint64_t from = was.at(field).number(), to = is.at(field).number();
    return text(to > from ? static_cast<double>(to - from) / seconds_ : 0.0);
  }
  // Streams of one name differ in their topics; the others have none.
  JsonView of_before(const char* list, const JsonView& is) const {
    for (const JsonView& each : before_.at(list).items())
      if (each.at("name").text() == is.at("name").text() && each.at("topic").text() == is.at("topic").text()) return each;
    return {};
  }

  void head() {
    const bool healthy = now_.at("healthy").yes();
    lines_.push_back({fmt::format(" rivulet {}   up {}   {}   {}   {}", now_.at("agent").text(), span_text(static_cast<std::int64_t>(now_.at("uptime_ms").number())), size_text(now_.at("resident_bytes").number()),
                                  healthy ? "healthy" : "NEEDS A LOOK", clock_text(now_.at("now_ms").number())), Look::head});
    const JsonView forward = now_.at("forward"), store = now_.at("store"), totals = now_.at("totals");
    const std::string link = forward.is_null() ? "off" : forward.at("link").text();
    const std::string sent = forward.is_null() ? rate(before_.at("totals"), totals, "stored") + "/s stored" : rate(before_.at("forward"), forward, "forwarded_records") + "/s to Kafka";
    lines_.push_back({fmt::format(" in {}/s   {}   link {}   waiting {} records, {}", rate(before_.at("totals"), totals, "in"), sent, link, count_text(store.at("outbox_records").number()),
                                  size_text(store.at("outbox_bytes").number())), link == "up" || link == "idle" || link == "off" ? Look::normal : Look::bad});
    const std::uint64_t used = store.at("used_bytes").number(), limit = store.at("limit_bytes").number();
    const double share = limit > 0 ? 100.0 * static_cast<double>(used) / static_cast<double>(limit) : 0;
    lines_.push_back({fmt::format(" store {} of {} ({:.0f} %)  quarantine {}  late {}  failed {}  undecodable {}", size_text(used), size_text(limit), share, count_text(store.at("quarantine_records").number()),
                                  count_text(totals.at("late").number()), count_text(totals.at("failed").number()), count_text(totals.at("undecodable").number())), share >= 95 ? Look::bad : share >= 70 ? Look::warn : Look::normal});
    for (const JsonView& problem : now_.at("problems").items()) lines_.push_back({" ! " + problem.text(), Look::bad});
    if (const std::string last = forward.at("last_error").text(); !last.empty() && link != "up" && link != "idle") lines_.push_back({" link: " + last, Look::warn});
  }

  std::size_t name_width() const { return std::clamp<std::size_t>(size_.columns / 4, 8, 32); }

  Part sources() const {
    const std::size_t name = name_width();
    Part part{{" " + left("SOURCE", name) + left(" TYPE", 10) + right("RECORDS/S", 10) + right("SIZE/S", 12) + right("RECORDS", 11) + "  STATE", Look::head}, {}};
    for (const JsonView& source : now_.at("sources").items()) {
      const JsonView was = of_before("sources", source);
      const bool waits = source.at("waiting").yes();
      std::string state = waits ? "waits for room; " : "";
      state += source.at("state").text();
      for (const auto& [what, count] : source.at("events").fields()) state += fmt::format("; {} {}", what, count.number());
      part.lines.push_back({" " + left(source.at("name").text(), name) + left(" " + source.at("type").text(), 10) + right(rate(was, source, "records"), 10) +
                                right(rate(was, source, "bytes", [](double bytes) { return size_text(static_cast<std::uint64_t>(bytes)); }), 12) + right(count_text(source.at("records").number()), 11) + "  " + state,
                            waits ? Look::warn : Look::normal});
    }
    for (const JsonView& table : now_.at("tables").items())
      part.lines.push_back({" " + left(table.at("name").text(), name) + left(" table", 10) + std::string(35, ' ') + table.at("state").text(), table.at("ready").yes() ? Look::normal : Look::bad});
    return part;
  }

  Part pipelines() const {
    const std::size_t name = name_width();
    Part part{{" " + left("PIPELINE", name) + right("IN/S", 10) + right("OUT/S", 10) + right("IN", 11) + right("LATE", 10) + right("FAILED", 10), Look::head}, {}};
    for (const JsonView& pipeline : now_.at("pipelines").items()) {
      const JsonView was = of_before("pipelines", pipeline);
      part.lines.push_back({" " + left(pipeline.at("name").text(), name) + right(rate(was, pipeline, "in"), 10) + right(rate(was, pipeline, "out"), 10) + right(count_text(pipeline.at("in").number()), 11) +
                                right(count_text(pipeline.at("late").number()), 10) + right(count_text(pipeline.at("failed").number()), 10),
                            pipeline.at("failed").number() > 0 ? Look::warn : Look::normal});
    }
    return part;
  }

  Part streams() const {
    const std::size_t name = name_width();
    Part part{{" " + left("STREAM", name) + " " + left("TOPIC", name) + right("STORED/S", 10) + right("SENT/S", 10) + right("WAITING", 11), Look::head}, {}};
    for (const JsonView& stream : now_.at("streams").items()) {
      const JsonView was = of_before("streams", stream);
      const std::string held = stream.at("held").text();
      part.lines.push_back({" " + left(stream.at("name").text(), name) + " " + left(stream.at("topic").text(), name) + right(rate(was, stream, "last"), 10) + right(rate(was, stream, "acknowledged"), 10) +
                                right(count_text(stream.at("waiting").number()), 11), held.empty() ? Look::normal : Look::bad});
      if (!held.empty()) part.lines.push_back({"   held: " + held, Look::bad});
    }
    return part;
  }

  Part errors() const {
    Part part{{" LAST ERRORS", Look::head}, {}};
    for (const JsonView& error : now_.at("last_errors").items()) {
      const std::uint64_t count = error.at("count").number();
      part.lines.push_back({fmt::format(" {} {}{}", clock_text(error.at("last_ms").number()), count > 1 ? fmt::format("({}x) ", count_text(count)) : "", error.at("text").text()), error.at("level").text() == "error" ? Look::bad : Look::warn});
    }
    return part;
  }

  // Each part may have its share of the room; what one does not need goes to the others.
  void fit(std::vector<Part>& parts) const {
    const std::size_t used = lines_.size() + parts.size();
    std::size_t room = size_.rows > used ? size_.rows - used : 0;
    std::vector<std::size_t> given(parts.size(), 0);
    for (bool more = true; more && room > 0;) {
      more = false;
      for (std::size_t i = 0; i < parts.size() && room > 0; ++i)
        if (given[i] < parts[i].lines.size()) ++given[i], --room, more = true;
    }
    for (std::size_t i = 0; i < parts.size(); ++i) {
      const std::size_t all = parts[i].lines.size();
      if (given[i] >= all) continue;
      parts[i].lines.resize(given[i]);
      if (given[i] > 0) parts[i].lines.back() = {fmt::format(" ... {} more", all - given[i] + 1), Look::dim};
    }
  }

  const JsonView before_, now_;
  const ScreenSize size_;
  double seconds_ = 0;
  std::vector<Line> lines_;
};

}  // namespace

std::vector<std::string> top_screen(std::string_view before, std::string_view now, const ScreenSize& size) {
  const auto is = JsonView::of(now);
  if (!is) return {shown("not an answer of rivulet: " + is.error().message, size.columns)};
  const auto was = JsonView::of(before);
  return Screen(was ? *was : JsonView(), *is, size).lines();
}

}  // namespace rivulet::app
